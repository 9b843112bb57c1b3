-- Forget what was left for a record: ?1 its number.
DELETE FROM inputs WHERE n = ?1
