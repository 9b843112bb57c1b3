-- Whether a stage is sealed: ?1 its number; no row when it is done with.
SELECT sealed FROM stages WHERE n = ?1
