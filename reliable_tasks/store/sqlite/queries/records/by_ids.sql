-- The records of several messages: ?1 their ids as a JSON list.
SELECT * FROM records WHERE id IN (SELECT value FROM json_each(?1))
