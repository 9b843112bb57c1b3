-- Remove a record: ?1 its number.
DELETE FROM records WHERE n = ?1
