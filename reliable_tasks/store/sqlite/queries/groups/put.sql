-- Keep a group's description: ?1 id, ?2 value, ?3 until (NULL: for ever).
INSERT INTO message_groups (id, value, delete_at) VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, delete_at = excluded.delete_at
