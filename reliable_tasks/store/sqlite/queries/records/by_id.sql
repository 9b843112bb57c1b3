-- The record of a message: ?1 its id.
SELECT * FROM records WHERE id = ?1
