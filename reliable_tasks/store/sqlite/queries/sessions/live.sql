-- How many worker processes hold a lease: ?1 now.
SELECT count(*) FROM sessions WHERE lease_until > ?1
