-- Leave edges: ?1 the number of their ending, ?2 JSON.
INSERT INTO ending_parts (ending, edges) VALUES (?1, ?2)
