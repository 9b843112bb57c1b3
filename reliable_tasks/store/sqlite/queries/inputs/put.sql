-- Leave something for a record.
INSERT INTO inputs (n, slot, parent, ok, value) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (n, slot, parent) DO UPDATE SET ok = excluded.ok, value = excluded.value
