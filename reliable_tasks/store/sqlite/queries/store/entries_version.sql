-- Grows with every change of an entry.
SELECT entries FROM store WHERE id = 1
