-- Hand a lock on: ?1 name, ?2 owner, ?3 who has it then; no row where ?2 does not have it.
UPDATE locks SET owner = ?3 WHERE name = ?1 AND owner = ?2 RETURNING name
