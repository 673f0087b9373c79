-- Every statement the store runs on MySQL 8+ and MariaDB 10.6+. `:name` is a parameter, {tasks} a table's name.
-- Both servers take all of it: no row alias, no VALUES(), no RETURNING, no INSERT IGNORE. Every UPDATE sets `rev` to
-- {next_rev}, so that a matched row counts as a changed one. `many rows`: several of these may travel as one statement;
-- `many ids`: those that differ in :id and :result alone. Times are UTC by the server's clock.

-- name: insert_running many rows
INSERT INTO {tasks} (id, task_type, status, data, max_retry_count, callback_url, callback_type, callback_data, priority,
  timeout, attempt, worker_id, message_id, queue, body, headers, created_at, updated_at, started_at, ahead)
VALUES (:id, :task_type, 'running', :data, :max_retry_count, :callback_url, :callback_type, :callback_data, :priority,
  :timeout, 1, :worker_id, :message_id, :queue, :body, :headers, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), :ahead)
ON DUPLICATE KEY UPDATE id = id

-- name: insert_waiting many rows
INSERT INTO {tasks} (id, task_type, status, data, max_retry_count, callback_url, callback_type, callback_data, priority,
  timeout, message_id, handed_off, queue, body, headers, created_at, updated_at, next_run_at, next_check_at)
VALUES (:id, :task_type, 'pending', :data, :max_retry_count, :callback_url, :callback_type, :callback_data, :priority,
  :timeout, :message_id, :handed_off, :queue, :body, :headers, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3),
  COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND),
  COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND) + INTERVAL (:grace * 1000000) MICROSECOND)
ON DUPLICATE KEY UPDATE id = id

-- name: note_sent many ids
-- What waits for a later time is looked for then, as ever. A row that anybody has written since has another `rev`.
UPDATE {tasks} FORCE INDEX (PRIMARY) SET handed_off = 0,
  next_check_at = CASE WHEN :deferred = 1 THEN next_check_at END, rev = {next_rev}
WHERE id IN (:id) AND rev = 0 AND status = 'pending' AND attempt = 0

-- name: withdraw
DELETE FROM {tasks} WHERE id = :id AND rev = 0 AND status = 'pending' AND attempt = 0 AND message_id = :message_id

-- name: begin_waiting many ids
-- The first attempt of a row that was there before its message, which names it: so `message_id` stays.
UPDATE {tasks} FORCE INDEX (PRIMARY) SET status = 'running', attempt = 1, ahead = :ahead, worker_id = :worker_id,
  max_retry_count = :max_retry_count, handed_off = 0, next_run_at = NULL, next_check_at = NULL,
  started_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id IN (:id) AND status = 'pending' AND attempt = 0 AND crashes = 0 AND cancel_requested = 0 AND reserved = 0
  AND body IS NOT NULL AND next_run_at <= UTC_TIMESTAMP(3)

-- name: insert_refused
INSERT INTO {tasks} (id, task_type, data, callback_url, callback_type, callback_data, status, error_message, error_type,
  queue, message_id, created_at, updated_at, completed_at)
VALUES (:id, :task_type, :data, :callback_url, :callback_type, :callback_data, 'failed', :error, :error_type,
  :queue, :message_id, UTC_TIMESTAMP(3),
  UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE id = id

-- name: insert_kept
INSERT INTO {tasks} (id, task_type, status, error_message, error_type, handed_off, message_id, queue, body, headers,
  created_at, updated_at, next_run_at, next_check_at)
VALUES (:id, 'default', 'pending', :error, :error_type, 1, :message_id, :queue, :body, :headers,
  UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND)
ON DUPLICATE KEY UPDATE id = id

-- name: keep_again
UPDATE {tasks} SET updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND status = 'pending' AND attempt = 0 AND handed_off = 1

-- name: forget_kept
DELETE FROM {tasks} WHERE id = :id AND status = 'pending' AND attempt = 0 AND handed_off = 1

-- name: running_of_type
SELECT 1 FROM {workers} w JOIN {tasks} t ON t.worker_id = w.id
WHERE w.expires_at > UTC_TIMESTAMP(3) AND t.status = 'running' AND t.task_type = :task_type AND t.queue = :queue LIMIT 1

-- name: outcome_of
SELECT outcome FROM {attempts} WHERE task_id = :id AND attempt = :attempt

-- name: row
SELECT t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  t.checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row,
  t.status = 'cancelled' AND t.attempt = 0 AND t.body IS NULL AND t.queue IS NOT NULL AS unseen,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), t.next_run_at) / 1000000 AS due_in,
  (SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), w.expires_at) / 1000000 FROM {workers} w
    WHERE w.id = t.worker_id) AS lease_left,
  (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker_name,
  (SELECT w.lease FROM {workers} w WHERE w.id = t.worker_id) AS lease
FROM {tasks} t WHERE t.id = :id

-- name: row_locked
SELECT t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  t.checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row,
  t.status = 'cancelled' AND t.attempt = 0 AND t.body IS NULL AND t.queue IS NOT NULL AS unseen,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), t.next_run_at) / 1000000 AS due_in,
  (SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), w.expires_at) / 1000000 FROM {workers} w
    WHERE w.id = t.worker_id) AS lease_left,
  (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker_name,
  (SELECT w.lease FROM {workers} w WHERE w.id = t.worker_id) AS lease
FROM {tasks} t WHERE t.id = :id FOR UPDATE

-- name: complete_foreign
UPDATE {tasks} SET max_retry_count = COALESCE(:asked, NULLIF(max_retry_count, 0), :max_retry_count),
  callback_url = COALESCE(NULLIF(callback_url, ''), :callback_url), callback_data = COALESCE(:callback_data, callback_data),
  callback_type = CASE WHEN :wants_callback = 1 THEN :callback_type
    ELSE COALESCE(NULLIF(callback_type, ''), 'http') END,
  data = COALESCE(data, :data), priority = :priority, timeout = :timeout, rev = {next_rev}
WHERE id = :id AND body IS NULL

-- name: defer
UPDATE {tasks} SET status = CASE WHEN status = 'retrying' THEN status ELSE 'pending' END,
  next_run_at = COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND),
  next_check_at = COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND)
    + INTERVAL (:grace * 1000000) MICROSECOND,
  message_id = :message_id, queue = :queue, body = :body, headers = :headers, updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND body IS NULL AND COALESCE(status, 'pending') <> 'running'

-- name: begin_next
UPDATE {tasks} SET status = 'running', attempt = :attempt, crashes = :crashes, ahead = :ahead, reserved = 0, worker_id = :worker_id,
  max_retry_count = :max_retry_count, message_id = :message_id, handed_off = 0, progress = 0, progress_message = NULL, next_run_at = NULL,
  next_check_at = NULL, body = COALESCE(body, :body), headers = COALESCE(headers, :headers),
  queue = COALESCE(queue, :queue), started_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id

-- name: close
UPDATE {tasks} SET status = :status, error_message = :error, error_type = :error_type, crashes = :crashes, reserved = 0,
  worker_id = NULL, next_run_at = NULL, next_check_at = NULL, completed_at = UTC_TIMESTAMP(3),
  updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id

-- name: commit many ids
-- The index is named: with many ids and few rows the server would read, and wait for, all of them.
UPDATE {tasks} FORCE INDEX (PRIMARY) SET status = :status, result = :result, error_message = :error, error_type = :error_type,
  last_error_type = :last_error_type, traceback = :traceback, progress = COALESCE(:progress, progress),
  progress_message = COALESCE(:progress_message, progress_message), retry_count = :retry_count, crashes = :crashes,
  interruptions = :interruptions, worker_id = NULL,
  started_at = IF(ahead = 1, UTC_TIMESTAMP(3) - INTERVAL (:duration * 1000000) MICROSECOND, started_at),
  checkpoint = IF(:succeeded, NULL, COALESCE(:checkpoint, checkpoint)),
  next_run_at = UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND,
  next_check_at = UTC_TIMESTAMP(3) + INTERVAL ((:delay + IF(handed_off = 1, 0, :grace)) * 1000000) MICROSECOND,
  completed_at = IF(:terminal, UTC_TIMESTAMP(3), NULL), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id IN (:id) AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'
  AND (cancel_requested = 0 OR :beats_cancel)

-- name: owe_callback
INSERT INTO {callbacks} (task_id, rerun, id, attempt, queue, kind, url, receiver, size, body, next_try_at, created_at,
  dead, last_error)
SELECT t.id, t.rerun, :callback_id, t.attempt, COALESCE(t.queue, :queue), COALESCE(t.callback_type, 'http'),
  t.callback_url, :receiver, :callback_size, :callback_body, CASE WHEN :given_up = 1 THEN NULL ELSE UTC_TIMESTAMP(3) END,
  UTC_TIMESTAMP(3), :given_up, :problem
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.status = :status
  AND (:refused = 0 OR t.queue IS NOT NULL)
ON DUPLICATE KEY UPDATE task_id = {callbacks}.task_id

-- name: owe_letter
-- Beside the callback of the same end: `rerun` counts from -1 downwards. What is sent is the row's own message.
INSERT INTO {callbacks} (task_id, rerun, id, attempt, queue, kind, receiver, size, body, next_try_at, created_at)
SELECT t.id, -1 - t.rerun, :letter_id, t.attempt, COALESCE(t.queue, :queue), 'letter', 'letter', LENGTH(t.body),
  :reason, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.status = :status AND t.body IS NOT NULL
ON DUPLICATE KEY UPDATE task_id = {callbacks}.task_id

-- name: due_callbacks
-- The index is named: left alone, the server was seen to read all callbacks of the queue.
SELECT task_id, rerun, id, receiver, size, tries FROM {callbacks} FORCE INDEX (ix_next)
WHERE queue = :queue AND next_try_at <= UTC_TIMESTAMP(3) AND id NOT IN :aside
ORDER BY next_try_at LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: receivers
-- All queues' and, where the index has them, those delivered as well: so many rows are read, and no more.
SELECT receiver, queue, next_try_at <= UTC_TIMESTAMP(3) AS due FROM {callbacks} FORCE INDEX (ix_receiver)
WHERE receiver > :after
ORDER BY receiver LIMIT :limit

-- name: due_callback_of
SELECT task_id, rerun, id, receiver, size, tries FROM {callbacks} FORCE INDEX (ix_receiver)
WHERE receiver = :receiver AND queue = :queue AND next_try_at <= UTC_TIMESTAMP(3) AND id NOT IN :aside
ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: callback
SELECT task_id, rerun, id, attempt, kind, url, receiver, body, tries, failures,
  (SELECT t.headers FROM {tasks} t WHERE t.id = :task_id) AS headers FROM {callbacks}
WHERE task_id = :task_id AND rerun = :rerun

-- name: try_callback
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, next_try_at = UTC_TIMESTAMP(3) + INTERVAL (:lease * 1000000) MICROSECOND
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries

-- name: callback_delivered
UPDATE {callbacks} SET delivered_at = UTC_TIMESTAMP(3), next_try_at = NULL, last_error = NULL
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries AND next_try_at IS NOT NULL

-- name: callback_failed
UPDATE {callbacks} SET failures = LEAST(failures, 1000000000) + :spent, last_error = :error, dead = :dead,
  next_try_at = UTC_TIMESTAMP(3) + INTERVAL (:gap * 1000000) MICROSECOND
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries AND next_try_at IS NOT NULL

-- name: next_callback
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), next_try_at) / 1000000 AS wait
FROM {callbacks} FORCE INDEX (ix_next) WHERE next_try_at IS NOT NULL AND queue = :queue AND id NOT IN :aside
ORDER BY next_try_at LIMIT 1

-- name: callbacks
SELECT task_id, id, rerun, attempt, queue, kind, url, body, tries, failures, next_try_at, last_error, dead, created_at,
  delivered_at FROM {callbacks}
WHERE (:task_id IS NULL OR task_id = :task_id) AND (:dead IS NULL OR dead = :dead)
  AND (:open IS NULL OR next_try_at IS NOT NULL) AND (:queue IS NULL OR queue = :queue)
ORDER BY created_at DESC LIMIT :limit

-- name: callbacks_named
SELECT task_id, id, rerun, attempt, queue, kind, url, body, tries, failures, next_try_at, last_error, dead, created_at,
  delivered_at FROM {callbacks}
WHERE task_id = :id OR CONVERT(id USING utf8mb4) COLLATE utf8mb4_bin = :id
ORDER BY created_at DESC

-- name: drop_callback
DELETE FROM {callbacks} WHERE task_id = :task_id AND rerun = :rerun AND id = :id
  AND (dead = 1 OR (next_try_at IS NOT NULL AND :owed = 1))

-- name: replay_callback
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, failures = 0, dead = 0, next_try_at = UTC_TIMESTAMP(3)
WHERE (task_id = :id AND (kind <> 'letter' OR dead = 1)) OR CONVERT(id USING utf8mb4) COLLATE utf8mb4_bin = :id

-- name: replay_dead_callbacks
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, failures = 0, dead = 0, next_try_at = UTC_TIMESTAMP(3) WHERE dead = 1

-- name: attempt_ended many rows
INSERT INTO {attempts} (task_id, attempt, worker_id, worker_name, started_at, ended_at, outcome, error_message, error_type,
  exit_code, signal_number, cpu_seconds, peak_memory, log_head, log_tail, log_dropped, stderr_tail, notes)
VALUES (:id, :attempt, :worker_id, :worker_name, UTC_TIMESTAMP(3) - INTERVAL (:duration * 1000000) MICROSECOND, UTC_TIMESTAMP(3),
  :outcome, :error, :error_type, :exit_code, :signal_number, :cpu_seconds, :peak_memory, :log_head, :log_tail,
  :log_dropped, :stderr_tail, :notes)
ON DUPLICATE KEY UPDATE task_id = task_id

-- name: attempt_lost
INSERT INTO {attempts} (task_id, attempt, worker_id, worker_name, started_at, ended_at, outcome, error_message, error_type)
SELECT t.id, t.attempt, :worker_id, COALESCE((SELECT w.name FROM {workers} w WHERE w.id = :worker_id), :worker_id),
  t.started_at, UTC_TIMESTAMP(3), 'lost', :error, 'WorkerLost'
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt
ON DUPLICATE KEY UPDATE task_id = {attempts}.task_id

-- name: write_output
-- A part is written again while it grows. The row is held until this is done, so that nothing comes after the end.
REPLACE INTO {output} (task_id, attempt, start, said_at, bytes)
SELECT t.id, t.attempt, :start, UTC_TIMESTAMP(3), :bytes
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.worker_id = :worker_id AND t.status = 'running' LOCK IN SHARE MODE

-- name: forget_output
DELETE FROM {output} WHERE task_id = :id AND attempt = :attempt AND start >= :start AND start < :before

-- name: forget_output_in_history
-- Its history has all of it by now; that of a lost attempt has not.
DELETE FROM {output} WHERE task_id = :id AND attempt = :attempt AND EXISTS (SELECT 1 FROM {attempts} a
  WHERE a.task_id = :id AND a.attempt = :attempt AND a.worker_id = :worker_id AND a.outcome <> 'lost')

-- name: progress
UPDATE {tasks} SET progress = COALESCE(:progress, progress),
  progress_message = COALESCE(:progress_message, progress_message),
  checkpoint = COALESCE(:checkpoint, checkpoint), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'

-- name: mark_started
UPDATE {tasks} SET ahead = 0, started_at = UTC_TIMESTAMP(3) - INTERVAL (:duration * 1000000) MICROSECOND, updated_at = UTC_TIMESTAMP(3),
  rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'


-- name: hand_off
UPDATE {tasks} SET handed_off = 1, updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'

-- name: schedule
UPDATE {tasks} SET handed_off = 1,
  next_check_at = IF(status = 'running', next_check_at, COALESCE(next_run_at, UTC_TIMESTAMP(3))), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND status IN ('pending', 'retrying', 'running')

-- name: renew
INSERT INTO {workers} (id, name, queue, lease, version, concurrency, started_at, expires_at)
VALUES (:id, :name, :queue, :lease, :version, :concurrency, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL (:lease * 1000000) MICROSECOND)
ON DUPLICATE KEY UPDATE expires_at = UTC_TIMESTAMP(3) + INTERVAL (:lease * 1000000) MICROSECOND

-- name: leave
UPDATE {workers} SET expires_at = UTC_TIMESTAMP(3), concurrency = 0 WHERE id = :id

-- name: gone_workers
SELECT w.id FROM {workers} w WHERE w.expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY
  AND NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.status = 'running' AND t.worker_id = w.id) LIMIT 1000

-- name: forget_workers
DELETE FROM {workers} WHERE id IN :ids AND expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY

-- name: ended_long_ago
-- Counted, because MySQL would read all callbacks beforehand where it is asked whether one EXISTS.
SELECT t.id FROM {tasks} t FORCE INDEX (ix_queue)
WHERE t.queue <=> :queue AND t.created_at < UTC_TIMESTAMP(3) - INTERVAL (:age * 1000000) MICROSECOND
  AND t.status IN ('success', 'failed', 'cancelled')
  AND t.id NOT IN :aside
  AND COALESCE(t.completed_at, t.updated_at) < UTC_TIMESTAMP(3) - INTERVAL (:age * 1000000) MICROSECOND
  AND (SELECT COUNT(*) FROM {callbacks} c WHERE c.task_id = t.id AND c.next_try_at IS NOT NULL) = 0
ORDER BY t.created_at LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: prune_callbacks
DELETE FROM {callbacks} WHERE task_id IN :ids AND next_try_at IS NULL

-- name: owed_after_all
SELECT DISTINCT task_id FROM {callbacks} WHERE task_id IN :ids

-- name: prune_attempts
DELETE FROM {attempts} WHERE task_id IN :ids

-- name: prune_output
DELETE FROM {output} WHERE task_id IN :ids

-- name: prune_tasks
DELETE FROM {tasks} WHERE id IN :ids

-- name: rows_of_worker
SELECT id, attempt, cancel_requested FROM {tasks} WHERE status = 'running' AND worker_id = :worker_id

-- name: give_back
UPDATE {tasks} SET status = :status, error_message = :error, error_type = :error_type, worker_id = NULL,
  handed_off = 1, next_run_at = IF(:terminal, NULL, UTC_TIMESTAMP(3)),
  next_check_at = IF(:terminal, NULL, UTC_TIMESTAMP(3)), completed_at = IF(:terminal, UTC_TIMESTAMP(3), NULL),
  updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'
  AND cancel_requested = :cancel_requested

-- name: overdue_waiting
SELECT id, attempt, message_id, body, headers,
  TIMESTAMPDIFF(MICROSECOND, COALESCE(next_run_at, updated_at), UTC_TIMESTAMP(3)) / 1000000 AS late
FROM {tasks} WHERE next_check_at <= UTC_TIMESTAMP(3) AND status IN ('pending', 'retrying') AND queue = :queue
  AND id NOT IN :aside
ORDER BY next_check_at LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: overdue_orphaned
SELECT t.id, t.attempt, t.message_id, t.body, t.headers, COALESCE((SELECT TIMESTAMPDIFF(MICROSECOND, w.expires_at,
  UTC_TIMESTAMP(3)) / 1000000 FROM {workers} w WHERE w.id = t.worker_id), 0) AS late
FROM {tasks} t
WHERE t.status = 'running' AND t.worker_id IS NOT NULL AND t.queue = :queue
  AND t.id NOT IN :aside
  AND (t.next_check_at IS NULL OR t.next_check_at <= UTC_TIMESTAMP(3))
  AND NOT EXISTS (SELECT 1 FROM {workers} w WHERE w.id = t.worker_id AND w.expires_at
    > UTC_TIMESTAMP(3) - INTERVAL (IF(t.handed_off = 1, 0, 2 * LEAST(w.lease, 86400)) * 1000000) MICROSECOND)
LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: postpone
UPDATE {tasks} SET next_check_at = UTC_TIMESTAMP(3) + INTERVAL (:gap * 1000000) MICROSECOND, rev = {next_rev}
WHERE id = :id

-- name: set_aside
UPDATE {tasks} SET next_check_at = NULL, updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND status IN ('pending', 'retrying')

-- name: rows_to_cancel
SELECT t.id, t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  NULL AS checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row, 0 AS unseen,
  0 AS due_in, NULL AS lease_left, NULL AS lease, NULL AS worker_name, t.body IS NOT NULL AS has_body, t.queue, t.next_check_at IS NULL AS set_aside
FROM {tasks} t FORCE INDEX (PRIMARY) WHERE t.id IN :ids ORDER BY t.id FOR UPDATE

-- name: cancel_waiting
-- A time that never comes marks what no worker has told of yet.
UPDATE {tasks} FORCE INDEX (PRIMARY) SET status = 'cancelled', error_message = :error, error_type = :error_type, worker_id = NULL, reserved = 0, next_run_at = NULL,
  next_check_at = '9998-12-31 00:00:00.000', completed_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id IN :ids

-- name: untold
SELECT id FROM {tasks} FORCE INDEX (ix_check)
WHERE next_check_at = '9998-12-31 00:00:00.000' AND status = 'cancelled' AND (queue = :queue OR queue IS NULL) LIMIT :limit

-- name: untold_locked
SELECT id, task_type, attempt, retry_count, max_retry_count, CASE WHEN LENGTH(body) <= 65536 THEN body END AS body, headers
FROM {tasks} FORCE INDEX (ix_check)
WHERE next_check_at = '9998-12-31 00:00:00.000' AND status = 'cancelled' AND (queue = :queue OR queue IS NULL)
LIMIT :limit FOR UPDATE SKIP LOCKED

-- name: told
UPDATE {tasks} FORCE INDEX (PRIMARY) SET next_check_at = NULL, rev = {next_rev} WHERE id IN :ids

-- name: insert_unseen
INSERT INTO {tasks} (id, task_type, status, error_message, error_type, queue, created_at, updated_at, completed_at)
VALUES (:id, 'default', 'cancelled', :error, :error_type, :queue, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE id = id

-- name: complete_unseen
UPDATE {tasks} SET task_type = :task_type, data = :data, max_retry_count = :max_retry_count, callback_url = :callback_url,
  callback_type = :callback_type, callback_data = :callback_data, priority = :priority, timeout = :timeout,
  message_id = :message_id, queue = :queue, body = :body, headers = :headers, rev = {next_rev}
WHERE id = :id AND body IS NULL

-- name: ask_cancel
UPDATE {tasks} FORCE INDEX (PRIMARY) SET cancel_requested = 1, updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id IN :ids

-- name: wake_workers
UPDATE {workers} SET cancels = (cancels & 4611686018427387903) + 1 WHERE id IN :ids

-- name: cancels_of
SELECT id, cancels FROM {workers} FORCE INDEX (PRIMARY) WHERE id IN :ids

-- name: rows_to_retry
SELECT t.id, t.status, t.attempt, t.message_id, t.headers, t.body IS NOT NULL AS has_body, t.queue, t.next_check_at IS NULL AS set_aside
FROM {tasks} t FORCE INDEX (PRIMARY) WHERE t.id IN :ids ORDER BY t.id FOR UPDATE

-- name: fields_of
SELECT id, task_type, data, callback_url, callback_type, callback_data, max_retry_count FROM {tasks} WHERE id = :id

-- name: retry_by_hand
UPDATE {tasks} SET status = 'pending', rerun = rerun + 1, retry_count = 0, crashes = 0, interruptions = 0,
  cancel_requested = 0, reserved = 0, handed_off = 1, next_run_at = UTC_TIMESTAMP(3) + INTERVAL ((:delay) * 1000000) MICROSECOND,
  next_check_at = UTC_TIMESTAMP(3) + INTERVAL ((:delay + :grace) * 1000000) MICROSECOND, completed_at = NULL, worker_id = NULL,
  body = COALESCE(body, :body), headers = COALESCE(headers, :headers), queue = COALESCE(queue, :queue),
  updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND status IN ('failed', 'cancelled')

-- name: sizes_of
SELECT id, LENGTH(body) AS size FROM {tasks} FORCE INDEX (PRIMARY) WHERE id IN :ids AND queue = :queue ORDER BY id

-- name: message_of
SELECT attempt, message_id, body, headers FROM {tasks} WHERE id = :id

-- name: messages_of
SELECT id, attempt, message_id, body, headers, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), next_run_at) / 1000000 AS due_in
FROM {tasks} FORCE INDEX (PRIMARY) WHERE id IN :ids AND status = 'pending' ORDER BY id

-- name: tasks_selected
-- The beginning of a statement: what is chosen follows.
SELECT t.id, t.created_at FROM {tasks} t FORCE INDEX (ix_status)

-- name: count_selected
SELECT COUNT(*) AS n FROM {tasks} t FORCE INDEX (ix_status)

-- name: types_selected
SELECT t.task_type, COUNT(*) AS n FROM {tasks} t FORCE INDEX (ix_status)

-- name: insert_operation
INSERT INTO {operations} (id, kind, queue, asked, spread, total, collected, created_at, driver, driven_until)
VALUES (:id, :kind, :queue, :asked, :spread, :total, :collected, UTC_TIMESTAMP(3), :driver, UTC_TIMESTAMP(3) + INTERVAL ((:lease) * 1000000) MICROSECOND)

-- name: insert_operation_id many rows
INSERT INTO {operation_ids} (operation, position, task_id)
VALUES (:id, :position, :task_id)
ON DUPLICATE KEY UPDATE position = position

-- name: operation
SELECT id, kind, queue, asked, spread, total, collected, created_at, ended_at, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(3)) / 1000000 AS age,
  driven_until > UTC_TIMESTAMP(3) AS driven FROM {operations} WHERE id = :id

-- name: operations
SELECT id, kind, queue, asked, spread, total, collected, created_at, ended_at, TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(3)) / 1000000 AS age,
  driven_until > UTC_TIMESTAMP(3) AS driven FROM {operations} ORDER BY created_at DESC, id LIMIT :limit

-- name: operation_outcomes
SELECT outcome, COUNT(*) AS n FROM {operation_ids} WHERE operation = :id GROUP BY outcome

-- name: operation_tasks
SELECT position, task_id, outcome FROM {operation_ids} WHERE operation = :id AND position > :after
ORDER BY position LIMIT :limit

-- name: operation_next
SELECT position, task_id FROM {operation_ids} FORCE INDEX (ix_outcome) WHERE operation = :id AND outcome IS NULL ORDER BY position LIMIT :limit

-- name: take_operation
UPDATE {operations} SET driver = :driver, driven_until = UTC_TIMESTAMP(3) + INTERVAL ((:lease) * 1000000) MICROSECOND
WHERE id = :id AND ended_at IS NULL AND driven_until <= UTC_TIMESTAMP(3)

-- name: drive_operation
-- A write that changes nothing counts as none: the second within a millisecond goes one further.
UPDATE {operations} SET driven_until = UTC_TIMESTAMP(3) + INTERVAL ((:lease) * 1000000
  + 1000 * (driven_until = UTC_TIMESTAMP(3) + INTERVAL ((:lease) * 1000000) MICROSECOND)) MICROSECOND
WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: leave_operation
UPDATE {operations} SET driven_until = UTC_TIMESTAMP(3) WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: operation_collected
UPDATE {operations} SET collected = 1, total = :total WHERE id = :id AND driver = :driver

-- name: operation_done
UPDATE {operations} SET ended_at = UTC_TIMESTAMP(3) WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: stop_operation
UPDATE {operations} SET ended_at = UTC_TIMESTAMP(3) WHERE id = :id AND ended_at IS NULL

-- name: operation_outcome
UPDATE {operation_ids} SET outcome = :outcome WHERE operation = :id AND position IN :positions

-- name: forsaken_operations
SELECT id FROM {operations} WHERE ended_at IS NULL AND driven_until <= UTC_TIMESTAMP(3) AND queue = :queue LIMIT 1

-- name: old_operations
SELECT id FROM {operations} WHERE ended_at < UTC_TIMESTAMP(3) + INTERVAL ((-:age) * 1000000) MICROSECOND LIMIT 100

-- name: forget_operation_ids
DELETE FROM {operation_ids} WHERE operation = :id

-- name: forget_operation
DELETE FROM {operations} WHERE id = :id

-- name: refuse_again
UPDATE {tasks} SET status = 'failed', error_message = :error, error_type = :error_type, completed_at = UTC_TIMESTAMP(3),
  updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND status = 'pending' AND attempt = 0
  AND ((body IS NULL AND rerun > 0) OR message_id = :message_id OR body = :body)

-- name: reopen_refused
UPDATE {tasks} SET status = 'pending', rerun = rerun + 1, error_message = NULL, error_type = NULL,
  completed_at = NULL, updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id AND status = 'failed' AND attempt = 0 AND body IS NULL AND queue IS NOT NULL

-- name: view
SELECT t.id, t.task_type, t.status, t.data, t.result, t.error_message, t.progress, t.retry_count, t.max_retry_count,
  t.callback_url, t.callback_type, t.created_at, t.updated_at, t.started_at, t.completed_at, t.progress_message,
  t.callback_data, t.error_type, t.last_error_type, t.traceback, t.priority, t.timeout, t.attempt, t.crashes,
  t.interruptions, t.worker_id, (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker, t.handed_off,
  t.next_run_at, t.cancel_requested, t.checkpoint, t.queue,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), t.next_run_at) / 1000000 AS due_in
FROM {tasks} t WHERE t.id = :id

-- name: message_of
SELECT attempt, message_id, body, headers FROM {tasks} WHERE id = :id

-- name: attempts_of
-- What an attempt has said may be large, and is read by itself.
SELECT attempt, worker_id, worker_name, started_at, ended_at, outcome, error_message, error_type, exit_code, signal_number,
  cpu_seconds, peak_memory, stderr_tail, notes FROM {attempts} WHERE task_id = :id ORDER BY attempt

-- name: attempt_of
SELECT * FROM {attempts} WHERE task_id = :id AND attempt = :attempt

-- name: last_attempt
SELECT t.status, t.attempt, t.worker_id, (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker, t.started_at
FROM {tasks} t WHERE t.id = :id

-- name: output_parts
-- No part is longer than :part bytes.
SELECT start, bytes FROM {output}
WHERE task_id = :id AND attempt = :attempt AND start > :since - :part ORDER BY start

-- name: tasks_of
SELECT t.id, t.task_type, t.status, t.progress, t.progress_message, t.retry_count, t.max_retry_count, t.attempt,
  t.error_message, t.error_type, t.last_error_type, t.created_at, t.updated_at, t.started_at, t.completed_at, t.queue, t.rev,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), t.next_run_at) / 1000000 AS due_in
FROM {tasks} t FORCE INDEX (PRIMARY) WHERE t.id IN :ids

-- name: details_of
SELECT t.id, CASE WHEN :with_data = 1 THEN t.data END AS data, a.started_at, a.ended_at
FROM {tasks} t FORCE INDEX (PRIMARY) LEFT JOIN {attempts} a ON a.task_id = t.id AND a.attempt = t.attempt
WHERE t.id IN :ids

-- name: tasks_listed
-- What stands for (keys) is built of what is asked, from the beginnings that follow; `at` is exact to the microsecond.
SELECT t.id, t.task_type, t.status, t.progress, t.progress_message, t.retry_count, t.max_retry_count, t.attempt,
  t.error_message, t.error_type, t.last_error_type, t.created_at, t.updated_at, t.started_at, t.completed_at, t.queue,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), t.next_run_at) / 1000000 AS due_in, CAST(k.created_at AS CHAR) AS at
FROM (keys) k STRAIGHT_JOIN {tasks} t FORCE INDEX (PRIMARY) ON t.id = k.id
ORDER BY k.created_at DESC, k.id DESC LIMIT :limit

-- name: position_of
SELECT CAST(t.created_at AS CHAR) AS at FROM {tasks} t WHERE t.id = :id

-- name: keys_end
SELECT CAST(k.created_at AS CHAR) AS at, k.id FROM (keys) k ORDER BY k.created_at DESC, k.id DESC LIMIT 1

-- name: by_created
FROM {tasks} t FORCE INDEX (ix_created)

-- name: by_status
FROM {tasks} t FORCE INDEX (ix_status)

-- name: by_type
FROM {tasks} t FORCE INDEX (ix_type)

-- name: by_error
FROM {tasks} t FORCE INDEX (ix_error)

-- name: by_last_error
FROM {tasks} t FORCE INDEX (ix_last_error)

-- name: by_queue
FROM {tasks} t FORCE INDEX (ix_queue)

-- name: by_id
FROM {tasks} t FORCE INDEX (PRIMARY)

-- name: took
-- How long tasks took, on average.
AVG(TIMESTAMPDIFF(MICROSECOND, t.started_at, t.completed_at) / 1000000)

-- name: beside
-- Whether another queue has tasks in the table, too.
SELECT EXISTS (SELECT 1 FROM {tasks} t FORCE INDEX (ix_queue) WHERE t.queue < :queue)
  OR EXISTS (SELECT 1 FROM {tasks} t FORCE INDEX (ix_queue) WHERE t.queue > :queue) AS others

-- name: workers
SELECT w.id, w.name, w.queue, w.version, w.concurrency, w.started_at, w.expires_at, w.expires_at > UTC_TIMESTAMP(3) AS alive,
  (SELECT COUNT(*) FROM {tasks} t WHERE t.status = 'running' AND t.worker_id = w.id) AS running
FROM {workers} w ORDER BY alive DESC, w.started_at

-- name: callback_counts
-- Of each kind at most so many are looked at. Letters (rerun < 0) are apart from the others.
SELECT 'owed' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c FORCE INDEX (ix_due) WHERE c.next_try_at IS NOT NULL LIMIT :limit) w
UNION ALL
SELECT 'dead' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c FORCE INDEX (ix_dead) WHERE c.dead = 1 LIMIT :limit) w
UNION ALL
SELECT 'others' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c FORCE INDEX (ix_dead) WHERE c.dead = 0 LIMIT :limit) w

-- name: oldest_pending
-- Of the first that wait, by their age: what is deferred may be older than what is due.
SELECT TIMESTAMPDIFF(MICROSECOND, MIN(due), UTC_TIMESTAMP(3)) / 1000000 AS seconds FROM
  (SELECT COALESCE(next_run_at, created_at) AS due FROM {tasks} WHERE status = 'pending' ORDER BY created_at LIMIT 1000) waiting
WHERE due <= UTC_TIMESTAMP(3)

-- name: callbacks_waiting
SELECT (SELECT COUNT(*) FROM {callbacks} c WHERE c.next_try_at IS NOT NULL) AS owed, (SELECT COUNT(*) FROM {callbacks} c WHERE c.dead = 1) AS dead

-- name: owed
SELECT COUNT(*) AS owed FROM {owed_work} WHERE queue = :queue

-- name: tables
-- Without a subquery on information_schema: MariaDB 10.11 was seen to crash in one while tables were dropped.
SELECT c.table_name AS name, SUM(c.column_name IN ('task_type', 'callback_url', 'max_retry_count')) = 3 AS of_tasks
FROM information_schema.columns c WHERE c.table_schema = DATABASE() GROUP BY c.table_name

-- name: schema_version
SELECT MAX(version) AS version FROM {schema_version}

-- name: create_schema_version
CREATE TABLE IF NOT EXISTS {schema_version} (version INT NOT NULL PRIMARY KEY, applied_at DATETIME(3) NOT NULL)

-- name: migrated
INSERT INTO {schema_version} (version, applied_at) VALUES (:version, UTC_TIMESTAMP(3))
ON DUPLICATE KEY UPDATE version = version

-- name: postpone_start
UPDATE {tasks} SET status = CASE WHEN status = 'retrying' THEN status ELSE 'pending' END, crashes = :crashes,
  worker_id = NULL, ahead = 0, handed_off = :parked, reserved = 1 - :parked,
  next_run_at = CASE WHEN :parked = 1 THEN COALESCE(next_run_at, UTC_TIMESTAMP(3)) ELSE UTC_TIMESTAMP(3) + INTERVAL (:delay * 1000000) MICROSECOND END,
  next_check_at = CASE WHEN :parked = 1 THEN UTC_TIMESTAMP(3) + INTERVAL :years YEAR ELSE UTC_TIMESTAMP(3) + INTERVAL ((:delay + :grace) * 1000000) MICROSECOND END,
  message_id = :message_id, body = COALESCE(body, :body), headers = COALESCE(headers, :headers),
  queue = COALESCE(queue, :queue), updated_at = UTC_TIMESTAMP(3), rev = {next_rev}
WHERE id = :id

-- name: pauses
SELECT task_type, since, until, COALESCE(until <= UTC_TIMESTAMP(3), 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue

-- name: pause_shared
SELECT task_type, since, until, COALESCE(until <= UTC_TIMESTAMP(3), 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue AND task_type = :task_type LOCK IN SHARE MODE

-- name: pause_locked
SELECT task_type, since, until, COALESCE(until <= UTC_TIMESTAMP(3), 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue AND task_type = :task_type FOR UPDATE

-- name: insert_pause
INSERT INTO {pauses} (queue, task_type, since, until, cool_down, reason, parked_from, parked_to)
VALUES (:queue, :task_type, UTC_TIMESTAMP(3), COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:cool_down * 1000000) MICROSECOND), :cool_down, :reason, :parked_from, :parked_to)

-- name: pause_anew
UPDATE {pauses} SET since = CASE WHEN :goes_on = 1 THEN since ELSE UTC_TIMESTAMP(3) END,
  until = COALESCE(:until, UTC_TIMESTAMP(3) + INTERVAL (:cool_down * 1000000) MICROSECOND), cool_down = :cool_down, probe = NULL, reason = :reason
WHERE queue = :queue AND task_type = :task_type

-- name: end_pause
UPDATE {pauses} SET until = UTC_TIMESTAMP(3), cool_down = NULL, probe = NULL WHERE queue = :queue AND task_type = :task_type

-- name: let_probe_through
UPDATE {pauses} SET until = UTC_TIMESTAMP(3) + INTERVAL (cool_down * 1000000) MICROSECOND, probe = :probe WHERE queue = :queue AND task_type = :task_type

-- name: forget_pause
DELETE FROM {pauses} WHERE queue = :queue AND task_type = :task_type

-- name: parked
SELECT id, attempt, message_id, body, headers FROM {tasks} FORCE INDEX (ix_check)
WHERE next_check_at >= :parked_from AND next_check_at < :parked_to AND status IN ('pending', 'retrying')
  AND CONVERT(task_type USING utf8mb4) COLLATE utf8mb4_bin = :task_type AND queue = :queue AND next_run_at <= UTC_TIMESTAMP(3)
ORDER BY next_check_at LIMIT :limit FOR UPDATE

-- name: unpark
UPDATE {tasks} SET next_check_at = UTC_TIMESTAMP(3) + INTERVAL (:grace * 1000000) MICROSECOND, rev = {next_rev}
WHERE id IN :ids

-- name: pause_counts
SELECT p.queue, p.task_type, p.since, p.until, COALESCE(p.until <= UTC_TIMESTAMP(3), 0) AS expired, p.cool_down, p.reason,
  (SELECT COUNT(*) FROM {tasks} t FORCE INDEX (ix_check)
    WHERE t.next_check_at >= p.parked_from AND t.next_check_at < p.parked_to AND t.status IN ('pending', 'retrying')
      AND CONVERT(t.task_type USING utf8mb4) COLLATE utf8mb4_bin = p.task_type AND CONVERT(t.queue USING utf8mb4) COLLATE utf8mb4_bin = p.queue AND t.next_run_at <= UTC_TIMESTAMP(3)) AS parked
FROM {pauses} p ORDER BY p.queue, p.task_type

-- name: insert_rate
INSERT INTO {rates} (queue, handler, free_at, paced_at)
VALUES (:queue, :handler, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE queue = queue

-- name: rate
SELECT TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), free_at) / 1000000 AS until_free,
  TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), paced_at) / 1000000 AS until_paced FROM {rates}
WHERE queue = :queue AND handler = :handler FOR UPDATE

-- name: reserve_start
UPDATE {rates} SET free_at = GREATEST(free_at, UTC_TIMESTAMP(6)) + INTERVAL ROUND(:interval * 1000000) MICROSECOND
WHERE queue = :queue AND handler = :handler

-- name: count_start
UPDATE {rates} SET paced_at = GREATEST(paced_at, UTC_TIMESTAMP(6)) + INTERVAL ROUND(:interval * 1000000) MICROSECOND
WHERE queue = :queue AND handler = :handler

-- name: count_minute
INSERT INTO {minutes} (minute, queue, task_type, outcome, error_type, up_to_ms, n, seconds)
VALUES (:minute, :queue, :task_type, :outcome, :error_type, :bound, :n, :seconds)
ON DUPLICATE KEY UPDATE n = n + :n, seconds = seconds + :seconds

-- name: minutes_between
-- What a queue or a type must be is put in where it is asked for.
SELECT task_type, outcome, error_type, up_to_ms, SUM(n) AS n, SUM(seconds) AS seconds FROM {minutes}
WHERE minute >= :since AND minute < :until GROUP BY 1, 2, 3, 4

-- name: minutes_series
SELECT minute - minute % :step AS at, outcome, up_to_ms, SUM(n) AS n, SUM(seconds) AS seconds FROM {minutes}
WHERE minute >= :since AND minute < :until GROUP BY 1, 2, 3

-- name: prune_minutes
DELETE FROM {minutes} WHERE minute < :before ORDER BY minute LIMIT :limit
