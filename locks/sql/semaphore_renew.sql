-- Hold a place until :until (0 = until released); no row where :owner has none.
UPDATE semaphore_leases SET until_ms = :until
WHERE name = :name AND owner = :owner AND (until_ms = 0 OR until_ms > :now)
RETURNING until_ms;
