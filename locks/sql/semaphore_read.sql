-- The live leases of a semaphore by fencing number: owner, fence, since_ms, until_ms.
SELECT owner, fence, since_ms, until_ms FROM semaphore_leases
WHERE name = :name AND (until_ms = 0 OR until_ms > :now)
ORDER BY fence;
