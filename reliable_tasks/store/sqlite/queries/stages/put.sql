-- Open a stage, or keep it for longer: ?1 name, ?2 deadline; its number, and whether it is sealed.
INSERT INTO stages (name, deadline, sealed) VALUES (?1, ?2, 0)
ON CONFLICT (name) DO UPDATE SET deadline = excluded.deadline
RETURNING n, sealed
