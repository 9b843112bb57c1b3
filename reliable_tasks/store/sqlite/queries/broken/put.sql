-- A parent did not succeed: ?1 the child's number, ?2 the parent's id.
INSERT INTO broken (n, parent) VALUES (?1, ?2) ON CONFLICT DO NOTHING
