-- Running messages of a session that are to be stopped: ?1 its id.
SELECT id, fence, revoked FROM records
WHERE session = ?1 AND revoked IS NOT NULL AND revoked <> '' ORDER BY fence
