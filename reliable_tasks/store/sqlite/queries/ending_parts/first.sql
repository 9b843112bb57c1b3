-- The edges that were left first.
SELECT place, ending, edges FROM ending_parts ORDER BY place LIMIT 1
