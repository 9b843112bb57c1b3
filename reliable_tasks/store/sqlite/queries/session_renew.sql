-- Renew a lease that has not lapsed: ?1 id, ?2 until, ?3 now; no row where it has.
UPDATE sessions SET lease_until = ?2 WHERE id = ?1 AND lease_until > ?3 RETURNING id
