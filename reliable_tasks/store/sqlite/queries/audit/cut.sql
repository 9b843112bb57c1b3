-- How many rows of the message ?1 were dropped, and up to when any were.
SELECT coalesce((SELECT rows FROM audit_cut WHERE id = ?1), 0), trail_cut FROM store WHERE id = 1
