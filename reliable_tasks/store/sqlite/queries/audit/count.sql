-- Count what happens again at ?1 in the newest row of the message ?2, if that tells of the same event
-- ?3, and began after ?4.
UPDATE audit SET count = count + 1, last = ?1
WHERE seq = (SELECT seq FROM audit WHERE id = ?2 ORDER BY seq DESC LIMIT 1)
  AND event = ?3 AND at > ?4
RETURNING seq
