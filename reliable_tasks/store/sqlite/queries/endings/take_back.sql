-- A message is to run again: ?1 the number of its record.
DELETE FROM endings WHERE record = ?1
