-- Free a lock, even one past its time: ?1 name, ?2 owner; no row where ?2 does not have it.
DELETE FROM locks WHERE name = ?1 AND owner = ?2 RETURNING name
