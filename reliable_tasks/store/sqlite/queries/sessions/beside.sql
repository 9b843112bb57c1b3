-- Sessions of other processes of a host: ?1 the host, ?2 pid, ?3 its start.
SELECT id, pid, pid_started FROM sessions
WHERE host = ?1 AND (pid <> ?2 OR pid_started <> ?3) ORDER BY id
