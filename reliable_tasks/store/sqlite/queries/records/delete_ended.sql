-- Delete what is past its time to be kept, where nothing else has to be deleted or freed with it:
-- ?1 now, ?2 how many to look at.
DELETE FROM records WHERE n IN (
  SELECT n FROM records WHERE delete_at IS NOT NULL AND delete_at <= ?1
  ORDER BY delete_at LIMIT ?2
)
AND state BETWEEN 4 AND 7 AND parts = 0 AND once IS NULL AND parked IS NULL
RETURNING n, state
