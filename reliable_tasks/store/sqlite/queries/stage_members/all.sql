-- The next messages that a stage holds: ?1 the stage, ?2 how many.
SELECT place, id FROM stage_members WHERE stage = ?1 ORDER BY place LIMIT ?2
