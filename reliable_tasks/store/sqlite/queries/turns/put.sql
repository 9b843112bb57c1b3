-- Take a turn: ?1 its name, ?2 when.
INSERT INTO turns (name, taken) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET taken = excluded.taken
