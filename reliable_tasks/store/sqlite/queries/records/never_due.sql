-- What is scheduled for no time at all, being damaged: ?1 the latest time, ?2 how many.
SELECT * FROM records WHERE state = 1 AND (typeof(due) <> 'integer' OR due > ?1) LIMIT ?2
