-- What expired before it started: ?1 now, ?2 how many.
SELECT * FROM records
WHERE expires IS NOT NULL AND expires <= ?1 AND state < 3
ORDER BY expires LIMIT ?2
