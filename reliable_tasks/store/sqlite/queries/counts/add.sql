-- So many records more (or fewer) stand there: ?1 queue ("" for final states), ?2 state, ?3.
INSERT INTO counts (queue, state, count) VALUES (?1, ?2, ?3)
ON CONFLICT (queue, state) DO UPDATE SET count = count + excluded.count
