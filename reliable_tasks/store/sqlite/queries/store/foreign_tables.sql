-- Tables that are neither SQLite's own nor those of locks.
SELECT name FROM sqlite_schema
WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
  AND name NOT IN ('locks', 'lock_fence', 'semaphore_leases')
LIMIT 1
