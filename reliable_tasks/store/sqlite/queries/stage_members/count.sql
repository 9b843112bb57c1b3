-- How many messages a stage holds: ?1 the stage.
SELECT count(*) FROM stage_members WHERE stage = ?1
