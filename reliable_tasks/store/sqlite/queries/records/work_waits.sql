-- Whether something is queued (?1: queues as a JSON list), and when the next is due.
SELECT
  EXISTS (
    SELECT 1 FROM json_each(?1) AS wanted
    WHERE EXISTS (SELECT 1 FROM records WHERE state = 2 AND queue = wanted.value)
  ),
  (
    SELECT CASE typeof(due) WHEN 'text' THEN 0.5 ELSE due END
    FROM (SELECT min(due) AS due FROM records WHERE state = 1)
  )
