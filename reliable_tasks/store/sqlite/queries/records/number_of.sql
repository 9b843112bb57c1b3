-- The number of a record: ?1 its id.
SELECT n FROM records WHERE id = ?1
