-- What is past its time to be kept: ?1 now, ?2 how many.
SELECT * FROM records WHERE delete_at IS NOT NULL AND delete_at <= ?1 ORDER BY delete_at LIMIT ?2
