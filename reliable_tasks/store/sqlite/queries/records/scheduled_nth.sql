-- The message that is so many after another among those scheduled: ?1 due and ?2 id of that one, ?3
-- how many.
SELECT due, id FROM records WHERE state = 1 AND (due, id) > (?1, ?2) ORDER BY due, id
LIMIT 1 OFFSET ?3
