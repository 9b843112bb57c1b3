-- Begin a step (value NULL) or record its outcome.
INSERT INTO steps (n, name, fence, value) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (n, name) DO UPDATE SET fence = excluded.fence, value = excluded.value
