-- When the next scheduled message is due.
SELECT min(due) FROM records WHERE state = 1
