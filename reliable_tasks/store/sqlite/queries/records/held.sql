-- What a session holds: ?1 its id, ?2 how many (-1: all).
SELECT * FROM records WHERE session = ?1 ORDER BY fence LIMIT ?2
