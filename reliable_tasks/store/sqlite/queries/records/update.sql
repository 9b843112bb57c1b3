-- Write back a record: ?1 its number, then its fields from `queue` on.
UPDATE records SET
  queue = ?2, state = ?3, reason = ?4, version = ?5, attempt = ?6, delivery = ?7, bounces = ?8,
  fence = ?9, committed_fence = ?10, place = ?11, session = ?12, worker = ?13, due = ?14,
  expires = ?15, first_started = ?16, started = ?17, ended = ?18, delete_at = ?19, waits = ?20,
  parts = ?21, admitted = ?22, mirrors = ?23, parked = ?24, parked_place = ?25, revoked = ?26,
  progress_state = ?27, once = ?28, edges = ?29, headers = ?30, progress_meta = ?31, doom = ?32,
  failure = ?33, result = ?34, payload = ?35, graft = ?36, lent = ?37
WHERE n = ?1
