-- A schedule entry: ?1 its name.
SELECT name, spec, template, origin, next, last, last_id, runs, missed, paused, version
FROM entries WHERE name = ?1
