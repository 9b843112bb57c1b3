-- Renew a lease: ?1 id, ?2 until; no row where the session was taken back.
UPDATE sessions SET lease_until = ?2 WHERE id = ?1 RETURNING id
