-- Forget old lines, among the ?2 oldest those up to ?1; audit is written in order of time.
DELETE FROM audit WHERE seq IN (
  SELECT seq FROM (SELECT seq, at FROM audit ORDER BY seq LIMIT ?2) WHERE at <= ?1
)
