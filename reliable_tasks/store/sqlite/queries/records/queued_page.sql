-- A page of a queue: ?1 its name, after ?2 priority and ?3 place, places up to ?4, ?5 how many.
SELECT * FROM records
WHERE state = 2 AND queue = ?1 AND (priority, place) > (?2, ?3) AND place <= ?4
ORDER BY priority, place LIMIT ?5
