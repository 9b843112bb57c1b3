-- All sessions, their queues first, and how much each holds.
SELECT queues, id, worker, host, pid, pid_started, started, lease_until,
  (SELECT count(*) FROM records WHERE session = sessions.id)
FROM sessions ORDER BY id
