-- Keep what a message came to, for edges that are still to be followed; gives its number.
INSERT INTO endings (record, id, state, reason, failure, value, keep) VALUES (?, ?, ?, ?, ?, ?, ?)
RETURNING n
