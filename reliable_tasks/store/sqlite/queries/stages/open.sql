-- Stages with something to do: ?1 now, ?2 how many.
SELECT n, sealed FROM stages WHERE sealed = 1 OR deadline <= ?1 ORDER BY n LIMIT ?2
