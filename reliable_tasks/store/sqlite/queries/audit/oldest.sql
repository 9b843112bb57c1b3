-- The ?1 oldest rows, and what each counts for beside ?2.
SELECT seq, at,
  ?2 + octet_length(id) + octet_length(task) + octet_length(worker) + octet_length(detail)
FROM audit ORDER BY seq LIMIT ?1
