-- Remember the latest number of records, places and audit rows: ?1; and of the trail how many rows it
-- has, how many bytes, and up to when rows of it were dropped.
UPDATE store SET seq = ?1, trail_rows = ?2, trail_bytes = ?3, trail_cut = ?4 WHERE id = 1
