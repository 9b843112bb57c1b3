-- The broken parents of a record: ?1 its number.
SELECT parent FROM broken WHERE n = ?1 ORDER BY parent
