-- Take two numbers, of a record and of its place; gives the second.
UPDATE store SET seq = seq + 2 WHERE id = 1 RETURNING seq
