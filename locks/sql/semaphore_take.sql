-- Write a lease where `semaphore_read` found a free place, with a number from `fence_next`.
INSERT INTO semaphore_leases (name, owner, fence, since_ms, until_ms)
VALUES (:name, :owner, :fence, :now, :until);
