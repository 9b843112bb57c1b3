-- Delete an entry: ?1 its name; no row where there is none.
DELETE FROM entries WHERE name = ?1 RETURNING name
