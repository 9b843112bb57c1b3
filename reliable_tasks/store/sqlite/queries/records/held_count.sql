-- How much a session holds: ?1 its id.
SELECT count(*) FROM records WHERE session = ?1
