-- Who a session is, and until when: ?1 its id.
SELECT worker, lease_until FROM sessions WHERE id = ?1
