-- What parents left for a record: ?1 its number.
SELECT slot, parent, ok, value FROM inputs WHERE n = ?1 ORDER BY slot, parent
