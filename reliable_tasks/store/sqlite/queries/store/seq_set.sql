-- Remember the latest number of records, places and audit rows: ?1.
UPDATE store SET seq = ?1 WHERE id = 1
