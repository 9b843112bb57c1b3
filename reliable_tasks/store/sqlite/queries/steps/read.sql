-- A step: ?1 the record's number, ?2 the step's name.
SELECT fence, value FROM steps WHERE n = ?1 AND name = ?2
