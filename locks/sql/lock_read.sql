-- The live record of a lock: owner, fence, since_ms, until_ms; no row where it is free.
SELECT owner, fence, since_ms, until_ms FROM locks
WHERE name = :name AND (until_ms = 0 OR until_ms > :now);
