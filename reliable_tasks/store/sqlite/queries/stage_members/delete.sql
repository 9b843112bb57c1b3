-- Hold messages no more: ?1 the stage, ?2 up to this place.
DELETE FROM stage_members WHERE stage = ?1 AND place <= ?2
