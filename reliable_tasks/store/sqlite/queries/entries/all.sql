-- All schedule entries.
SELECT name, spec, template, origin, next, last, last_id, runs, missed, paused, version
FROM entries ORDER BY name
