-- Create or replace an entry.
INSERT OR REPLACE INTO entries (
  name, spec, template, origin, next, last, last_id, runs, missed, paused, version
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
