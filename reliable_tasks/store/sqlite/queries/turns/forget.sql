-- Forget turns that nobody takes any more: ?1 of before when.
DELETE FROM turns WHERE taken < ?1
