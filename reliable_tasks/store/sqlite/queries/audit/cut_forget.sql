-- It is remembered of messages only that have rows after ?1.
DELETE FROM audit_cut WHERE id IN (SELECT id FROM audit WHERE seq <= ?1)
  AND NOT EXISTS (SELECT 1 FROM audit WHERE audit.id = audit_cut.id AND seq > ?1)
