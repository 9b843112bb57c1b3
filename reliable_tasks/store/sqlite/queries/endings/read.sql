-- What a message came to: ?1 the number of its ending.
SELECT record, id, state, reason, failure, value, keep FROM endings WHERE n = ?1
