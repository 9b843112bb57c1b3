-- Remove some records that ended before :before and that nobody took over.
DELETE FROM locks WHERE rowid IN (
  SELECT rowid FROM locks WHERE until_ms > 0 AND until_ms < :before LIMIT 20
);
