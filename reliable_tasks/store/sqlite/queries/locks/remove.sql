-- Remove a lock that is past its time: ?1 name.
DELETE FROM locks WHERE name = ?1
