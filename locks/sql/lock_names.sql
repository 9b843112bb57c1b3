-- The names in a range, which is how a namespace's prefix is asked for.
SELECT name FROM locks WHERE name >= :low AND name < :high ORDER BY name;
