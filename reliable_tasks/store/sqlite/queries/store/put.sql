-- The one row about the file: ?1 namespace.
INSERT INTO store (id, namespace, seq, entries) VALUES (1, ?1, 0, 0)
