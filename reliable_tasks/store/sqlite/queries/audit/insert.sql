-- Write lines of the trail.
INSERT INTO audit (seq, at, event, id, task, attempt, delivery, fence, worker, detail)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
