-- Forget the steps of a record: ?1 its number.
DELETE FROM steps WHERE n = ?1
