-- When the next scheduled message is due; no whole number where only damaged ones are left, text
-- among which might be none.
SELECT CASE typeof(due) WHEN 'text' THEN 0.5 ELSE due END
FROM (SELECT min(due) AS due FROM records WHERE state = 1)
