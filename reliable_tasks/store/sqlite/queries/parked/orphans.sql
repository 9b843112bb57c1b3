-- Locks that are waited for and do not exist (another program removed a lapsed one): ?1 how many.
SELECT DISTINCT lock FROM parked
WHERE NOT EXISTS (SELECT 1 FROM locks WHERE name = parked.lock)
LIMIT ?1
