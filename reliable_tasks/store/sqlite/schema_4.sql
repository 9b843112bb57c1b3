-- From version 3 to 4: one worker keeps house for all, by turns. When each turn was last taken; and
-- whose sessions are on a host, and which lapse first.
CREATE TABLE turns (
  name TEXT PRIMARY KEY,
  taken INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_host ON sessions (host, pid, pid_started);
CREATE INDEX sessions_by_lease ON sessions (lease_until);
