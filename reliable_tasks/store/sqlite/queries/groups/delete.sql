-- Forget a group: ?1 id.
DELETE FROM message_groups WHERE id = ?1
