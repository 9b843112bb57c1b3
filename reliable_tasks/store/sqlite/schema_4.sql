-- From version 3 to 4: one worker keeps house for all, by turns. When each turn was last taken; and
-- whose sessions are on a host, and which lapse first.
CREATE TABLE turns (
  name TEXT PRIMARY KEY,
  taken INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_host ON sessions (host, pid, pid_started);
CREATE INDEX sessions_by_lease ON sessions (lease_until);
-- And the trail is bounded by rows and bytes, which are counted, and tells what it has
-- dropped: of messages that have later rows how many, and of all up to when. A row may stand for
-- something that happened several times.
ALTER TABLE audit ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit ADD COLUMN last INTEGER;
CREATE TABLE audit_cut (
  id TEXT PRIMARY KEY,
  rows INTEGER NOT NULL
) WITHOUT ROWID;
ALTER TABLE store ADD COLUMN trail_rows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN trail_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE store ADD COLUMN trail_cut INTEGER NOT NULL DEFAULT 0;
UPDATE store SET
  trail_rows = (SELECT count(*) FROM audit),
  trail_bytes = (
    SELECT coalesce(sum(200 + octet_length(id) + octet_length(task) + octet_length(worker)
      + octet_length(detail)), 0)
    FROM audit
  );
