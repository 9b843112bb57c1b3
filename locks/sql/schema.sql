-- The tables of locks and semaphores. Times are milliseconds since the epoch; until_ms 0 means
-- "until released". A row past its until_ms counts as absent. A store that keeps locks of its own
-- runs this in its own database.
CREATE TABLE IF NOT EXISTS locks (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS locks_by_until ON locks (until_ms) WHERE until_ms > 0;
CREATE TABLE IF NOT EXISTS lock_fence (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  value INTEGER NOT NULL
);
INSERT INTO lock_fence (id, value) VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS semaphore_leases (
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  since_ms INTEGER NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (name, owner)
) WITHOUT ROWID;
