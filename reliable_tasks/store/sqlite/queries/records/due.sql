-- What is due: ?1 now, ?2 how many.
SELECT * FROM records WHERE state = 1 AND due <= ?1 ORDER BY due, id LIMIT ?2
