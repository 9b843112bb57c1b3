-- The namespace that the file belongs to.
SELECT namespace FROM store WHERE id = 1
