-- Read what the trail tells of one message; as `audit_read`, by its own index.
SELECT CAST(seq AS TEXT), at, event, id, task, attempt, delivery, fence, worker, detail, count, last
FROM audit
WHERE id = ?1 AND seq > ?4
  AND (?2 IS NULL OR event = ?2)
  AND (?3 IS NULL OR at >= ?3)
ORDER BY audit.seq LIMIT ?5
