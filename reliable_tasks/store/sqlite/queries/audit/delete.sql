-- Drop the rows up to ?1.
DELETE FROM audit WHERE seq <= ?1
