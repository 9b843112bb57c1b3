-- Read the trail: ?1 message, ?2 event, ?3 since: NULL for any; ?4 after this line, ?5 how many.
SELECT CAST(seq AS TEXT), at, event, id, task, attempt, delivery, fence, worker, detail, count, last
FROM audit
WHERE seq > ?4
  AND (?1 IS NULL OR id = ?1)
  AND (?2 IS NULL OR event = ?2)
  AND (?3 IS NULL OR at >= ?3)
ORDER BY audit.seq LIMIT ?5
