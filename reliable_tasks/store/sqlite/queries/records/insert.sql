-- Store new records; the values are the fields of `Row`.
INSERT INTO records (
  id, task, priority, eta, delay, expires_in, max_deliveries, result_ttl, failure_ttl, root_id,
  parent_id, joins_duplicate, parents, token, enqueued, stage, n, queue, state, reason, version,
  attempt, delivery, bounces, fence, committed_fence, place, session, worker, due, expires,
  first_started, started, ended, delete_at, waits, parts, admitted, mirrors, parked,
  parked_place, revoked, progress_state, once, edges, headers, progress_meta, doom, failure,
  result, payload, graft, lent
) VALUES (
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
  ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
