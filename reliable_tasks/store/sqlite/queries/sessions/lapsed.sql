-- Sessions that have lapsed: ?1 by when, ?2 how many.
SELECT id FROM sessions WHERE lease_until <= ?1 ORDER BY id LIMIT ?2
