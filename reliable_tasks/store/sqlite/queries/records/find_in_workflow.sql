-- List a workflow's records; as `find`, by their own index.
SELECT * FROM records
WHERE root_id = ?5 AND root_id <> id AND root_id <> ''
  AND n > ?6
  AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR queue = ?2)
  AND (?3 IS NULL OR task = ?3)
  AND (?4 IS NULL OR session = ?4)
UNION ALL
SELECT * FROM records
WHERE id = ?5 AND root_id = ?5
  AND n > ?6
  AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR queue = ?2)
  AND (?3 IS NULL OR task = ?3)
  AND (?4 IS NULL OR session = ?4)
ORDER BY n LIMIT ?7
