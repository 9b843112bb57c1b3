-- Let nothing more be added to a stage that was given up: ?1 its number.
UPDATE stages SET name = 'given up ' || n WHERE n = ?1
