-- Whether a record has a broken parent: ?1 its number.
SELECT EXISTS (SELECT 1 FROM broken WHERE n = ?1)
