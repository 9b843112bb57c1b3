-- Forget a session: ?1 its id.
DELETE FROM sessions WHERE id = ?1
