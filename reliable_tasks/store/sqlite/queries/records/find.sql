-- List records. ?1 states as a JSON list, ?2 queue, ?3 task, ?4 session, ?5 root id: NULL for any;
-- ?6 after this number, ?7 how many.
SELECT * FROM records
WHERE n > ?6
  AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR queue = ?2)
  AND (?3 IS NULL OR task = ?3)
  AND (?4 IS NULL OR session = ?4)
  AND (?5 IS NULL OR root_id = ?5)
ORDER BY n LIMIT ?7
