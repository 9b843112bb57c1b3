-- From version 2 to 3: endings are followed in bounded steps. What messages came to whose edges were
-- not all followed in one transaction, and the edges that are left, in parts.
-- AUTOINCREMENT: parts may outlive their ending, and must not find another one.
CREATE TABLE endings (
  n INTEGER PRIMARY KEY AUTOINCREMENT,
  record INTEGER NOT NULL,
  id TEXT NOT NULL,
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  failure BLOB,
  value BLOB NOT NULL,
  keep INTEGER NOT NULL
);
CREATE INDEX endings_of_record ON endings (record);
CREATE TABLE ending_parts (
  place INTEGER PRIMARY KEY,
  ending INTEGER NOT NULL,
  edges TEXT NOT NULL
);
CREATE INDEX ending_parts_of_ending ON ending_parts (ending);
