-- Let anybody take a turn: ?1 its name.
DELETE FROM turns WHERE name = ?1
