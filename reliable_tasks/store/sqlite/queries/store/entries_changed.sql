-- An entry has changed: let those who wait for that see it.
UPDATE store SET entries = entries + 1 WHERE id = 1
