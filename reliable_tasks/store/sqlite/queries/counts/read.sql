-- How many records stand where.
SELECT queue, state, count FROM counts WHERE count > 0
