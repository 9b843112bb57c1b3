-- Edges are being followed: ?1 their place.
DELETE FROM ending_parts WHERE place = ?1
