-- Wait for a lock: ?1 its name, ?2 place, ?3 the message's id.
INSERT INTO parked (lock, place, id) VALUES (?1, ?2, ?3)
