-- All sessions and how much each holds: ?1 how many.
SELECT id, worker, host, pid, pid_started, queues, started, lease_until,
  (SELECT count(*) FROM records WHERE session = sessions.id)
FROM sessions ORDER BY id LIMIT ?1
