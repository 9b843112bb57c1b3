-- The tables of a store as they were in version 2; what has come since is in the scripts after
-- this one, which run for a new file as well. Times are milliseconds since the epoch. The tables of
-- locks and the counter of fencing numbers come from the package `locks`.

CREATE TABLE store (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  namespace TEXT NOT NULL,
  seq INTEGER NOT NULL,      -- grows: numbers of records, of places in a queue, of audit rows
  entries INTEGER NOT NULL   -- grows with every change of an entry, for those who wait for one
);

-- One row a message. The columns are the fields of `rows.Row`, in its order: what never changes,
-- then what does, blobs last, so that looking at a row does not read through its payload.
CREATE TABLE records (
  id TEXT NOT NULL UNIQUE,
  task TEXT NOT NULL,
  priority INTEGER NOT NULL,
  eta INTEGER,
  delay INTEGER NOT NULL,
  expires_in INTEGER,
  max_deliveries INTEGER NOT NULL,
  result_ttl INTEGER NOT NULL,
  failure_ttl INTEGER NOT NULL,
  root_id TEXT NOT NULL,
  parent_id TEXT,
  joins_duplicate INTEGER NOT NULL,
  parents INTEGER NOT NULL,
  token TEXT NOT NULL,
  enqueued INTEGER NOT NULL,
  stage INTEGER,
  n INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  version INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  delivery INTEGER NOT NULL,
  bounces INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  committed_fence INTEGER NOT NULL,
  place INTEGER NOT NULL,
  session TEXT,
  worker TEXT,
  due INTEGER,
  expires INTEGER,
  first_started INTEGER,
  started INTEGER,
  ended INTEGER,
  delete_at INTEGER,
  waits INTEGER NOT NULL,
  parts INTEGER NOT NULL,
  admitted INTEGER NOT NULL,
  mirrors TEXT,
  parked TEXT,
  parked_place INTEGER NOT NULL,
  revoked TEXT,
  progress_state TEXT,
  once TEXT,
  edges TEXT,
  headers BLOB NOT NULL,
  progress_meta BLOB,
  doom BLOB,
  failure BLOB,
  result BLOB,
  payload BLOB,
  graft TEXT,
  lent TEXT
);
CREATE INDEX records_queued ON records (queue, priority, place) WHERE state = 2;
CREATE INDEX records_scheduled ON records (due, id) WHERE state = 1;
CREATE INDEX records_expiring ON records (expires) WHERE expires IS NOT NULL AND state < 3;
CREATE INDEX records_held ON records (session, fence) WHERE session IS NOT NULL;
CREATE INDEX records_dead ON records (n) WHERE state = 5;
CREATE INDEX records_ended ON records (delete_at) WHERE delete_at IS NOT NULL;
CREATE INDEX records_in_workflow ON records (root_id, n) WHERE root_id <> id AND root_id <> '';

-- How many records stand where, kept up to date by each transaction that moves one.
CREATE TABLE counts (
  queue TEXT NOT NULL,
  state INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (queue, state)
) WITHOUT ROWID;

-- What parents left for their child.
CREATE TABLE inputs (
  n INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  parent TEXT NOT NULL,
  ok INTEGER NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (n, slot, parent)
) WITHOUT ROWID;

-- The parents of a record that did not succeed.
CREATE TABLE broken (
  n INTEGER NOT NULL,
  parent TEXT NOT NULL,
  PRIMARY KEY (n, parent)
) WITHOUT ROWID;

-- The recorded steps of a body: begun by the claim with this fence, done when there is a value.
CREATE TABLE steps (
  n INTEGER NOT NULL,
  name TEXT NOT NULL,
  fence INTEGER NOT NULL,
  value BLOB,
  PRIMARY KEY (n, name)
) WITHOUT ROWID;

-- Who waits for a lock, in order.
CREATE TABLE parked (
  lock TEXT NOT NULL,
  place INTEGER NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (lock, place)
) WITHOUT ROWID;

-- Workflows that are being enqueued in several batches. AUTOINCREMENT: the number of a stage that
-- is gone must not come back, since records keep it.
CREATE TABLE stages (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  deadline INTEGER NOT NULL,
  sealed INTEGER NOT NULL
);
CREATE TABLE stage_members (
  stage INTEGER NOT NULL,
  place INTEGER NOT NULL,
  id TEXT NOT NULL,
  PRIMARY KEY (stage, place)
) WITHOUT ROWID;

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  worker TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  pid_started TEXT NOT NULL,
  queues TEXT NOT NULL,
  started INTEGER NOT NULL,
  lease_until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  event TEXT NOT NULL,
  id TEXT NOT NULL,
  task TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  delivery INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  worker TEXT NOT NULL,
  detail BLOB NOT NULL
);
CREATE INDEX audit_of_message ON audit (id, seq);

CREATE TABLE entries (
  name TEXT PRIMARY KEY,
  spec BLOB NOT NULL,
  template BLOB NOT NULL,
  origin TEXT NOT NULL,
  next INTEGER,
  last INTEGER,
  last_id TEXT,
  runs INTEGER NOT NULL,
  missed INTEGER NOT NULL,
  paused INTEGER NOT NULL,
  version INTEGER NOT NULL
);

CREATE TABLE message_groups (
  id TEXT PRIMARY KEY,
  value BLOB NOT NULL,
  delete_at INTEGER
);
CREATE INDEX message_groups_ended ON message_groups (delete_at) WHERE delete_at IS NOT NULL;
