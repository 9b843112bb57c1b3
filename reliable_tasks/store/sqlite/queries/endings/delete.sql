-- All edges of an ending were followed: ?1 its number.
DELETE FROM endings WHERE n = ?1
