-- List dead letters; as `find`, by their own index.
SELECT * FROM records
WHERE state = 5 AND n > ?6
  AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
  AND (?2 IS NULL OR queue = ?2)
  AND (?3 IS NULL OR task = ?3)
  AND (?4 IS NULL OR session = ?4)
  AND (?5 IS NULL OR root_id = ?5)
ORDER BY n LIMIT ?7
