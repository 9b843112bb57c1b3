-- Remove a semaphore's leases that have ended.
DELETE FROM semaphore_leases WHERE name = :name AND until_ms > 0 AND until_ms <= :now;
