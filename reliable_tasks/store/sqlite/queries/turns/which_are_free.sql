-- Whether a process (?1 host, ?2 pid, ?3 its start) has the store to itself; may take the turn to
-- reap (?4), and the turn (?5) to look after others of its host, if there are any; and whether a
-- session has lapsed. Taken is what was taken after ?6 and up to ?7, which is now: what lies in the
-- future is of a clock that was set back since.
SELECT
  NOT EXISTS (SELECT 1 FROM sessions WHERE host <> ?1 OR pid <> ?2 OR pid_started <> ?3),
  NOT EXISTS (SELECT 1 FROM turns WHERE name = ?4 AND taken > ?6 AND taken <= ?7),
  NOT EXISTS (SELECT 1 FROM turns WHERE name = ?5 AND taken > ?6 AND taken <= ?7)
    AND EXISTS (SELECT 1 FROM sessions WHERE host = ?1 AND (pid <> ?2 OR pid_started <> ?3)),
  EXISTS (SELECT 1 FROM sessions WHERE lease_until <= ?7)
