-- Hold a message in a stage: ?1 the stage, ?2 place, ?3 the message's id.
INSERT INTO stage_members (stage, place, id) VALUES (?1, ?2, ?3)
