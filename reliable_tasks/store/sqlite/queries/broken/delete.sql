-- Forget the broken parents of a record: ?1 its number.
DELETE FROM broken WHERE n = ?1
