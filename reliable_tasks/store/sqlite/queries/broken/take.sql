-- A parent runs again: ?1 the child's number, ?2 the parent's id; no row where it was not broken.
DELETE FROM broken WHERE n = ?1 AND parent = ?2 RETURNING parent
