-- Seal a stage: ?1 its number.
UPDATE stages SET sealed = 1 WHERE n = ?1
