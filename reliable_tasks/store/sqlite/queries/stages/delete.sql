-- Forget a stage: ?1 its number.
DELETE FROM stages WHERE n = ?1
