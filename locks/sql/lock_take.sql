-- Write the record of a lock that `lock_read` found free, with a number from `fence_next`.
INSERT INTO locks (name, owner, fence, since_ms, until_ms)
VALUES (:name, :owner, :fence, :now, :until)
ON CONFLICT (name) DO UPDATE SET
  owner = excluded.owner, fence = excluded.fence,
  since_ms = excluded.since_ms, until_ms = excluded.until_ms;
