-- A group's description: ?1 id, ?2 now.
SELECT value FROM message_groups WHERE id = ?1 AND (delete_at IS NULL OR delete_at > ?2)
