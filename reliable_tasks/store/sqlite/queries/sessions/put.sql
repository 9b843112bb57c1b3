-- Open a session.
INSERT INTO sessions (id, worker, host, pid, pid_started, queues, started, lease_until)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (id) DO UPDATE SET
  worker = excluded.worker, host = excluded.host, pid = excluded.pid,
  pid_started = excluded.pid_started, queues = excluded.queues,
  started = excluded.started, lease_until = excluded.lease_until
