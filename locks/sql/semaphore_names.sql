-- The names in a range, which is how a namespace's prefix is asked for.
SELECT DISTINCT name FROM semaphore_leases WHERE name >= :low AND name < :high ORDER BY name;
