-- Remember how many rows, of those up to ?1, messages lose; by number, not through the whole index.
INSERT INTO audit_cut (id, rows) SELECT id, count(*) FROM audit NOT INDEXED WHERE seq <= ?1 GROUP BY id
ON CONFLICT (id) DO UPDATE SET rows = rows + excluded.rows
