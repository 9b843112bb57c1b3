-- What is scheduled on a queue: ?1 its name, after ?2 due and ?3 id, up to ?4 due and ?5 id, ?6 how
-- many.
SELECT * FROM records
WHERE state = 1 AND queue = ?1 AND (due, id) > (?2, ?3) AND (due, id) <= (?4, ?5)
ORDER BY due, id LIMIT ?6
