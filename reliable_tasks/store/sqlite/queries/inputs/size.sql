-- How many bytes its parents left for a record: ?1 its number.
SELECT coalesce(sum(length(value)), 0) FROM inputs WHERE n = ?1
