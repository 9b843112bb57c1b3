-- Whether edges of an ending are left: ?1 its number.
SELECT 1 FROM ending_parts WHERE ending = ?1 LIMIT 1
