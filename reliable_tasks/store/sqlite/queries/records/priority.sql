-- Another priority for a record, which only a retry can give: ?1 its number, ?2 the priority.
UPDATE records SET priority = ?2 WHERE n = ?1
