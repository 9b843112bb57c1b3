-- Forget groups past their time: ?1 now, ?2 how many.
DELETE FROM message_groups WHERE id IN (
  SELECT id FROM message_groups WHERE delete_at IS NOT NULL AND delete_at <= ?1 LIMIT ?2
)
