-- What is scheduled on a queue: ?1 its name, ?2 how many.
SELECT * FROM records WHERE state = 1 AND queue = ?1 ORDER BY due, id LIMIT ?2
