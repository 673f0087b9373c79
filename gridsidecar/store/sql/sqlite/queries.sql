-- Every statement the store runs on SQLite. `:name` is a parameter, {tasks} a table's name. The counterpart of the file
-- for MySQL, statement by statement; a write transaction holds the file, so no statement locks rows. Times are UTC
-- text; {now} stands for the current one, {next_rev} for the number of a row's next change. A `+` keeps a column's index
-- out of use: without statistics, SQLite would rather read all tasks of a queue or status than the few that are due.

-- name: insert_running
INSERT INTO {tasks} (id, task_type, status, data, max_retry_count, callback_url, callback_type, callback_data, priority,
  timeout, attempt, worker_id, message_id, queue, body, headers, created_at, updated_at, started_at, ahead)
VALUES (:id, :task_type, 'running', CAST(:data AS TEXT), :max_retry_count, :callback_url, :callback_type, CAST(:callback_data AS TEXT), :priority,
  :timeout, 1, :worker_id, :message_id, :queue, :body, :headers, {now}, {now}, {now}, :ahead)
ON CONFLICT (id) DO NOTHING

-- name: insert_waiting many rows
INSERT INTO {tasks} (id, task_type, status, data, max_retry_count, callback_url, callback_type, callback_data, priority,
  timeout, message_id, handed_off, queue, body, headers, created_at, updated_at, next_run_at, next_check_at)
VALUES (:id, :task_type, 'pending', CAST(:data AS TEXT), :max_retry_count, :callback_url, :callback_type, CAST(:callback_data AS TEXT), :priority,
  :timeout, :message_id, :handed_off, :queue, :body, :headers, {now}, {now},
  COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds')),
  strftime('%Y-%m-%d %H:%M:%f', COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds')),
    :grace || ' seconds'))
ON CONFLICT (id) DO NOTHING

-- name: note_sent many ids
UPDATE {tasks} SET handed_off = 0,
  next_check_at = CASE WHEN :deferred = 1 THEN next_check_at END, rev = {next_rev}
WHERE id = :id AND rev = 0 AND status = 'pending' AND attempt = 0

-- name: withdraw
DELETE FROM {tasks} WHERE id = :id AND rev = 0 AND status = 'pending' AND attempt = 0 AND message_id = :message_id

-- name: begin_waiting many ids
UPDATE {tasks} SET status = 'running', attempt = 1, ahead = :ahead, worker_id = :worker_id,
  max_retry_count = :max_retry_count, handed_off = 0, next_run_at = NULL, next_check_at = NULL,
  started_at = {now}, updated_at = {now}, rev = {next_rev}
WHERE id = :id AND status = 'pending' AND attempt = 0 AND crashes = 0 AND cancel_requested = 0 AND reserved = 0
  AND body IS NOT NULL AND next_run_at <= {now}

-- name: insert_refused
INSERT INTO {tasks} (id, task_type, data, callback_url, callback_type, callback_data, status, error_message, error_type,
  queue, message_id, created_at, updated_at, completed_at)
VALUES (:id, :task_type, CAST(:data AS TEXT), :callback_url, :callback_type, CAST(:callback_data AS TEXT), 'failed', :error, :error_type,
  :queue, :message_id, {now},
  {now}, {now})
ON CONFLICT (id) DO NOTHING

-- name: insert_kept
INSERT INTO {tasks} (id, task_type, status, error_message, error_type, handed_off, message_id, queue, body, headers,
  created_at, updated_at, next_run_at, next_check_at)
VALUES (:id, 'default', 'pending', :error, :error_type, 1, :message_id, :queue, :body, :headers,
  {now}, {now}, {now}, strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds'))
ON CONFLICT (id) DO NOTHING

-- name: keep_again
UPDATE {tasks} SET updated_at = {now}, rev = {next_rev}
WHERE id = :id AND status = 'pending' AND attempt = 0 AND handed_off = 1

-- name: forget_kept
DELETE FROM {tasks} WHERE id = :id AND status = 'pending' AND attempt = 0 AND handed_off = 1

-- name: running_of_type
SELECT 1 FROM {workers} w JOIN {tasks} t ON t.worker_id = w.id
WHERE w.expires_at > {now} AND t.status = 'running' AND t.task_type = :task_type AND +t.queue = :queue LIMIT 1

-- name: outcome_of
SELECT outcome FROM {attempts} WHERE task_id = :id AND attempt = :attempt

-- name: row
SELECT t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  t.checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row,
  t.status = 'cancelled' AND t.attempt = 0 AND t.body IS NULL AND t.queue IS NOT NULL AS unseen,
  (julianday(t.next_run_at) - julianday('now')) * 86400 AS due_in,
  (SELECT (julianday(w.expires_at) - julianday('now')) * 86400 FROM {workers} w
    WHERE w.id = t.worker_id) AS lease_left,
  (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker_name,
  (SELECT w.lease FROM {workers} w WHERE w.id = t.worker_id) AS lease
FROM {tasks} t WHERE t.id = :id

-- name: row_locked
SELECT t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  t.checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row,
  t.status = 'cancelled' AND t.attempt = 0 AND t.body IS NULL AND t.queue IS NOT NULL AS unseen,
  (julianday(t.next_run_at) - julianday('now')) * 86400 AS due_in,
  (SELECT (julianday(w.expires_at) - julianday('now')) * 86400 FROM {workers} w
    WHERE w.id = t.worker_id) AS lease_left,
  (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker_name,
  (SELECT w.lease FROM {workers} w WHERE w.id = t.worker_id) AS lease
FROM {tasks} t WHERE t.id = :id

-- name: complete_foreign
UPDATE {tasks} SET max_retry_count = COALESCE(:asked, NULLIF(max_retry_count, 0), :max_retry_count),
  callback_url = COALESCE(NULLIF(callback_url, ''), :callback_url), callback_data = COALESCE(CAST(:callback_data AS TEXT), callback_data),
  callback_type = CASE WHEN :wants_callback = 1 THEN :callback_type
    ELSE COALESCE(NULLIF(callback_type, ''), 'http') END,
  data = COALESCE(data, CAST(:data AS TEXT)), priority = :priority, timeout = :timeout,
  rev = {next_rev}
WHERE id = :id AND body IS NULL

-- name: defer
UPDATE {tasks} SET status = CASE WHEN status = 'retrying' THEN status ELSE 'pending' END,
  next_run_at = COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds')),
  next_check_at = strftime('%Y-%m-%d %H:%M:%f',
    COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds')), :grace || ' seconds'),
  message_id = :message_id, queue = :queue, body = :body, headers = :headers, updated_at = {now}, rev = {next_rev}
WHERE id = :id AND body IS NULL AND COALESCE(status, 'pending') <> 'running'

-- name: begin_next
UPDATE {tasks} SET status = 'running', attempt = :attempt, crashes = :crashes, ahead = :ahead, reserved = 0, worker_id = :worker_id,
  max_retry_count = :max_retry_count, message_id = :message_id, handed_off = 0, progress = 0, progress_message = NULL, next_run_at = NULL,
  next_check_at = NULL, body = COALESCE(body, :body), headers = COALESCE(headers, :headers),
  queue = COALESCE(queue, :queue), started_at = {now}, updated_at = {now}, rev = {next_rev}
WHERE id = :id

-- name: close
UPDATE {tasks} SET status = :status, error_message = :error, error_type = :error_type, crashes = :crashes, reserved = 0,
  worker_id = NULL, next_run_at = NULL, next_check_at = NULL, completed_at = {now},
  updated_at = {now}, rev = {next_rev}
WHERE id = :id

-- name: commit
UPDATE {tasks} SET status = :status, result = :result, error_message = :error, error_type = :error_type,
  last_error_type = :last_error_type, traceback = :traceback, progress = COALESCE(:progress, progress),
  progress_message = COALESCE(:progress_message, progress_message), retry_count = :retry_count, crashes = :crashes,
  interruptions = :interruptions, worker_id = NULL,
  started_at = iif(ahead = 1, strftime('%Y-%m-%d %H:%M:%f', 'now', -:duration || ' seconds'), started_at),
  checkpoint = CASE WHEN :succeeded THEN NULL ELSE COALESCE(:checkpoint, checkpoint) END,
  next_run_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds'),
  next_check_at = strftime('%Y-%m-%d %H:%M:%f', 'now', (:delay + iif(handed_off = 1, 0, :grace)) || ' seconds'),
  completed_at = iif(:terminal, {now}, NULL), updated_at = {now}, rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'
  AND (cancel_requested = 0 OR :beats_cancel)

-- name: owe_callback
INSERT INTO {callbacks} (task_id, rerun, id, attempt, queue, kind, url, receiver, size, body, next_try_at, created_at,
  dead, last_error)
SELECT t.id, t.rerun, :callback_id, t.attempt, COALESCE(t.queue, :queue), COALESCE(t.callback_type, 'http'),
  t.callback_url, :receiver, :callback_size, CAST(:callback_body AS TEXT), CASE WHEN :given_up = 1 THEN NULL ELSE {now} END,
  {now}, :given_up, :problem
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.status = :status
  AND (:refused = 0 OR t.queue IS NOT NULL)
ON CONFLICT (task_id, rerun) DO NOTHING

-- name: owe_letter
-- Beside the callback of the same end: `rerun` counts from -1 downwards. What is sent is the row's own message.
INSERT INTO {callbacks} (task_id, rerun, id, attempt, queue, kind, receiver, size, body, next_try_at, created_at)
SELECT t.id, -1 - t.rerun, :letter_id, t.attempt, COALESCE(t.queue, :queue), 'letter', 'letter', LENGTH(t.body),
  CAST(:reason AS TEXT), {now}, {now}
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.status = :status AND t.body IS NOT NULL
ON CONFLICT (task_id, rerun) DO NOTHING

-- name: due_callbacks
SELECT task_id, rerun, id, receiver, size, tries FROM {callbacks}
WHERE queue = :queue AND next_try_at <= {now} AND id NOT IN (SELECT value FROM json_each(:aside))
ORDER BY next_try_at LIMIT :limit

-- name: receivers
-- All queues' and, where the index has them, those delivered as well: so many rows are read, and no more.
SELECT receiver, queue, next_try_at <= {now} AS due FROM {callbacks}
WHERE receiver > :after AND next_try_at IS NOT NULL
ORDER BY receiver LIMIT :limit

-- name: due_callback_of
SELECT task_id, rerun, id, receiver, size, tries FROM {callbacks}
WHERE receiver = :receiver AND queue = :queue AND next_try_at <= {now} AND id NOT IN (SELECT value FROM json_each(:aside))
ORDER BY next_try_at LIMIT 1

-- name: callback
SELECT task_id, rerun, id, attempt, kind, url, receiver, body, tries, failures,
  (SELECT t.headers FROM {tasks} t WHERE t.id = :task_id) AS headers FROM {callbacks}
WHERE task_id = :task_id AND rerun = :rerun

-- name: try_callback
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, next_try_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :lease || ' seconds')
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries

-- name: callback_delivered
UPDATE {callbacks} SET delivered_at = {now}, next_try_at = NULL, last_error = NULL
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries AND next_try_at IS NOT NULL

-- name: callback_failed
UPDATE {callbacks} SET failures = MIN(failures, 1000000000) + :spent, last_error = :error, dead = :dead,
  next_try_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :gap || ' seconds')
WHERE task_id = :task_id AND rerun = :rerun AND tries = :tries AND next_try_at IS NOT NULL

-- name: next_callback
SELECT (julianday(next_try_at) - julianday('now')) * 86400 AS wait
FROM {callbacks} WHERE next_try_at IS NOT NULL AND queue = :queue AND id NOT IN (SELECT value FROM json_each(:aside))
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
WHERE task_id = :id OR id = :id
ORDER BY created_at DESC

-- name: drop_callback
DELETE FROM {callbacks} WHERE task_id = :task_id AND rerun = :rerun AND id = :id
  AND (dead = 1 OR (next_try_at IS NOT NULL AND :owed = 1))

-- name: replay_callback
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, failures = 0, dead = 0, next_try_at = {now}
WHERE (task_id = :id AND (kind <> 'letter' OR dead = 1)) OR id = :id

-- name: replay_dead_callbacks
UPDATE {callbacks} SET tries = (tries & 1073741823) + 1, failures = 0, dead = 0, next_try_at = {now} WHERE dead = 1

-- name: attempt_ended
INSERT INTO {attempts} (task_id, attempt, worker_id, worker_name, started_at, ended_at, outcome, error_message, error_type,
  exit_code, signal_number, cpu_seconds, peak_memory, log_head, log_tail, log_dropped, stderr_tail, notes)
VALUES (:id, :attempt, :worker_id, :worker_name, strftime('%Y-%m-%d %H:%M:%f', 'now', -:duration || ' seconds'), {now},
  :outcome, :error, :error_type, :exit_code, :signal_number, :cpu_seconds, :peak_memory, :log_head, :log_tail,
  :log_dropped, :stderr_tail, :notes)
ON CONFLICT (task_id, attempt) DO NOTHING

-- name: attempt_lost
INSERT INTO {attempts} (task_id, attempt, worker_id, worker_name, started_at, ended_at, outcome, error_message, error_type)
SELECT t.id, t.attempt, :worker_id, COALESCE((SELECT w.name FROM {workers} w WHERE w.id = :worker_id), :worker_id),
  t.started_at, {now}, 'lost', :error, 'WorkerLost'
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt
ON CONFLICT (task_id, attempt) DO NOTHING

-- name: write_output
-- A part is written again while it grows. The row is held until this is done, so that nothing comes after the end.
REPLACE INTO {output} (task_id, attempt, start, said_at, bytes)
SELECT t.id, t.attempt, :start, {now}, :bytes
FROM {tasks} t WHERE t.id = :id AND t.attempt = :attempt AND t.worker_id = :worker_id AND t.status = 'running'

-- name: forget_output
DELETE FROM {output} WHERE task_id = :id AND attempt = :attempt AND start >= :start AND start < :before

-- name: forget_output_in_history
-- Its history has all of it by now; that of a lost attempt has not.
DELETE FROM {output} WHERE task_id = :id AND attempt = :attempt AND EXISTS (SELECT 1 FROM {attempts} a
  WHERE a.task_id = :id AND a.attempt = :attempt AND a.worker_id = :worker_id AND a.outcome <> 'lost')

-- name: progress
UPDATE {tasks} SET progress = COALESCE(:progress, progress),
  progress_message = COALESCE(:progress_message, progress_message),
  checkpoint = COALESCE(:checkpoint, checkpoint), updated_at = {now}, rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'

-- name: mark_started
UPDATE {tasks} SET ahead = 0, started_at = strftime('%Y-%m-%d %H:%M:%f', 'now', -:duration || ' seconds'), updated_at = {now},
  rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'


-- name: hand_off
UPDATE {tasks} SET handed_off = 1, updated_at = {now}, rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'

-- name: schedule
UPDATE {tasks} SET handed_off = 1,
  next_check_at = iif(status = 'running', next_check_at, COALESCE(next_run_at, {now})), rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND status IN ('pending', 'retrying', 'running')

-- name: renew
INSERT INTO {workers} (id, name, queue, lease, version, concurrency, started_at, expires_at)
VALUES (:id, :name, :queue, :lease, :version, :concurrency, {now}, strftime('%Y-%m-%d %H:%M:%f', 'now', :lease || ' seconds'))
ON CONFLICT (id) DO UPDATE SET expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :lease || ' seconds')

-- name: leave
UPDATE {workers} SET expires_at = {now}, concurrency = 0 WHERE id = :id

-- name: gone_workers
SELECT w.id FROM {workers} w WHERE w.expires_at < strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 day')
  AND NOT EXISTS (SELECT 1 FROM {tasks} t WHERE t.status = 'running' AND t.worker_id = w.id) LIMIT 1000

-- name: forget_workers
DELETE FROM {workers} WHERE id IN (SELECT value FROM json_each(:ids)) AND expires_at < strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 day')

-- name: ended_long_ago
SELECT t.id FROM {tasks} t
WHERE t.queue IS :queue AND t.created_at < strftime('%Y-%m-%d %H:%M:%f', 'now', -:age || ' seconds')
  AND t.status IN ('success', 'failed', 'cancelled')
  AND t.id NOT IN (SELECT value FROM json_each(:aside))
  AND COALESCE(t.completed_at, t.updated_at) < strftime('%Y-%m-%d %H:%M:%f', 'now', -:age || ' seconds')
  AND NOT EXISTS (SELECT 1 FROM {callbacks} c WHERE c.task_id = t.id AND c.next_try_at IS NOT NULL)
ORDER BY t.created_at LIMIT :limit

-- name: prune_callbacks
DELETE FROM {callbacks} WHERE task_id IN (SELECT value FROM json_each(:ids)) AND +next_try_at IS NULL

-- name: owed_after_all
SELECT DISTINCT task_id FROM {callbacks} WHERE task_id IN (SELECT value FROM json_each(:ids))

-- name: prune_attempts
DELETE FROM {attempts} WHERE task_id IN (SELECT value FROM json_each(:ids))

-- name: prune_output
DELETE FROM {output} WHERE task_id IN (SELECT value FROM json_each(:ids))

-- name: prune_tasks
DELETE FROM {tasks} WHERE id IN (SELECT value FROM json_each(:ids))

-- name: rows_of_worker
SELECT id, attempt, cancel_requested FROM {tasks} WHERE status = 'running' AND worker_id = :worker_id

-- name: give_back
UPDATE {tasks} SET status = :status, error_message = :error, error_type = :error_type, worker_id = NULL,
  handed_off = 1, next_run_at = iif(:terminal, NULL, {now}),
  next_check_at = iif(:terminal, NULL, {now}), completed_at = iif(:terminal, {now}, NULL),
  updated_at = {now}, rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND worker_id = :worker_id AND status = 'running'
  AND cancel_requested = :cancel_requested

-- name: overdue_waiting
SELECT id, attempt, message_id, body, headers,
  (julianday('now') - julianday(COALESCE(next_run_at, updated_at))) * 86400 AS late
FROM {tasks} WHERE next_check_at <= {now} AND +status IN ('pending', 'retrying') AND +queue = :queue
  AND id NOT IN (SELECT value FROM json_each(:aside))
ORDER BY next_check_at LIMIT :limit

-- name: overdue_orphaned
SELECT t.id, t.attempt, t.message_id, t.body, t.headers, COALESCE((SELECT (julianday('now') - julianday(w.expires_at)) * 86400
  FROM {workers} w WHERE w.id = t.worker_id), 0) AS late
FROM {tasks} t
WHERE t.status = 'running' AND t.worker_id IS NOT NULL AND +t.queue = :queue
  AND t.id NOT IN (SELECT value FROM json_each(:aside))
  AND (t.next_check_at IS NULL OR t.next_check_at <= {now})
  AND NOT EXISTS (SELECT 1 FROM {workers} w WHERE w.id = t.worker_id AND w.expires_at
    > strftime('%Y-%m-%d %H:%M:%f', 'now', -iif(t.handed_off = 1, 0, 2 * MIN(w.lease, 86400)) || ' seconds'))
LIMIT :limit

-- name: postpone
UPDATE {tasks} SET next_check_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :gap || ' seconds'), rev = {next_rev}
WHERE id = :id

-- name: set_aside
UPDATE {tasks} SET next_check_at = NULL, updated_at = {now}, rev = {next_rev}
WHERE id = :id AND attempt = :attempt AND status IN ('pending', 'retrying')

-- name: rows_to_cancel
SELECT t.id, t.status, t.attempt, COALESCE(t.retry_count, 0) AS retry_count, t.crashes, t.interruptions,
  COALESCE(t.max_retry_count, 0) AS max_retry_count, t.worker_id, t.message_id, t.handed_off, t.cancel_requested, t.ahead, t.reserved,
  NULL AS checkpoint, t.callback_url, t.callback_type, t.callback_data, t.body IS NULL AS foreign_row, 0 AS unseen,
  0 AS due_in, NULL AS lease_left, NULL AS lease, NULL AS worker_name, t.body IS NOT NULL AS has_body, t.queue, t.next_check_at IS NULL AS set_aside
FROM {tasks} t WHERE t.id IN (SELECT value FROM json_each(:ids)) ORDER BY t.id

-- name: cancel_waiting
-- A time that never comes marks what no worker has told of yet.
UPDATE {tasks} SET status = 'cancelled', error_message = :error, error_type = :error_type, worker_id = NULL, reserved = 0, next_run_at = NULL,
  next_check_at = '9998-12-31 00:00:00.000', completed_at = {now}, updated_at = {now}, rev = {next_rev}
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: untold
SELECT id FROM {tasks}
WHERE next_check_at = '9998-12-31 00:00:00.000' AND status = 'cancelled' AND (queue = :queue OR queue IS NULL) LIMIT :limit

-- name: untold_locked
SELECT id, task_type, attempt, retry_count, max_retry_count, CASE WHEN LENGTH(body) <= 65536 THEN body END AS body, headers
FROM {tasks}
WHERE next_check_at = '9998-12-31 00:00:00.000' AND status = 'cancelled' AND (queue = :queue OR queue IS NULL)
LIMIT :limit

-- name: told
UPDATE {tasks} SET next_check_at = NULL, rev = {next_rev} WHERE id IN (SELECT value FROM json_each(:ids))

-- name: insert_unseen
INSERT INTO {tasks} (id, task_type, status, error_message, error_type, queue, created_at, updated_at, completed_at)
VALUES (:id, 'default', 'cancelled', :error, :error_type, :queue, {now}, {now}, {now})
ON CONFLICT (id) DO NOTHING

-- name: complete_unseen
UPDATE {tasks} SET task_type = :task_type, data = :data, max_retry_count = :max_retry_count, callback_url = :callback_url,
  callback_type = :callback_type, callback_data = :callback_data, priority = :priority, timeout = :timeout,
  message_id = :message_id, queue = :queue, body = :body, headers = :headers, rev = {next_rev}
WHERE id = :id AND body IS NULL

-- name: ask_cancel
UPDATE {tasks} SET cancel_requested = 1, updated_at = {now}, rev = {next_rev}
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: wake_workers
UPDATE {workers} SET cancels = (cancels & 4611686018427387903) + 1 WHERE id IN (SELECT value FROM json_each(:ids))

-- name: cancels_of
SELECT id, cancels FROM {workers} WHERE id IN (SELECT value FROM json_each(:ids))

-- name: rows_to_retry
SELECT t.id, t.status, t.attempt, t.message_id, t.headers, t.body IS NOT NULL AS has_body, t.queue, t.next_check_at IS NULL AS set_aside
FROM {tasks} t WHERE t.id IN (SELECT value FROM json_each(:ids)) ORDER BY t.id

-- name: fields_of
SELECT id, task_type, data, callback_url, callback_type, callback_data, max_retry_count FROM {tasks} WHERE id = :id

-- name: retry_by_hand
UPDATE {tasks} SET status = 'pending', rerun = rerun + 1, retry_count = 0, crashes = 0, interruptions = 0,
  cancel_requested = 0, reserved = 0, handed_off = 1, next_run_at = strftime('%Y-%m-%d %H:%M:%f', 'now', (:delay) || ' seconds'),
  next_check_at = strftime('%Y-%m-%d %H:%M:%f', 'now', (:delay + :grace) || ' seconds'), completed_at = NULL, worker_id = NULL,
  body = COALESCE(body, :body), headers = COALESCE(headers, :headers), queue = COALESCE(queue, :queue),
  updated_at = {now}, rev = {next_rev}
WHERE id = :id AND status IN ('failed', 'cancelled')

-- name: sizes_of
SELECT id, LENGTH(body) AS size FROM {tasks} WHERE id IN (SELECT value FROM json_each(:ids)) AND +queue = :queue ORDER BY id

-- name: message_of
SELECT attempt, message_id, body, headers FROM {tasks} WHERE id = :id

-- name: messages_of
SELECT id, attempt, message_id, body, headers, (julianday(next_run_at) - julianday('now')) * 86400 AS due_in
FROM {tasks} WHERE id IN (SELECT value FROM json_each(:ids)) AND +status = 'pending' ORDER BY id

-- name: tasks_selected
-- The beginning of a statement: what is chosen follows.
SELECT t.id, t.created_at FROM {tasks} t INDEXED BY `{name}_status`

-- name: count_selected
SELECT COUNT(*) AS n FROM {tasks} t INDEXED BY `{name}_status`

-- name: types_selected
SELECT t.task_type, COUNT(*) AS n FROM {tasks} t INDEXED BY `{name}_status`

-- name: insert_operation
INSERT INTO {operations} (id, kind, queue, asked, spread, total, collected, created_at, driver, driven_until)
VALUES (:id, :kind, :queue, :asked, :spread, :total, :collected, {now}, :driver, strftime('%Y-%m-%d %H:%M:%f', 'now', (:lease) || ' seconds'))

-- name: insert_operation_id many rows
INSERT INTO {operation_ids} (operation, position, task_id)
VALUES (:id, :position, :task_id)
ON CONFLICT (operation, position) DO NOTHING

-- name: operation
SELECT id, kind, queue, asked, spread, total, collected, created_at, ended_at, (julianday('now') - julianday(created_at)) * 86400 AS age,
  driven_until > {now} AS driven FROM {operations} WHERE id = :id

-- name: operations
SELECT id, kind, queue, asked, spread, total, collected, created_at, ended_at, (julianday('now') - julianday(created_at)) * 86400 AS age,
  driven_until > {now} AS driven FROM {operations} ORDER BY created_at DESC, id LIMIT :limit

-- name: operation_outcomes
SELECT outcome, COUNT(*) AS n FROM {operation_ids} WHERE operation = :id GROUP BY outcome

-- name: operation_tasks
SELECT position, task_id, outcome FROM {operation_ids} WHERE operation = :id AND position > :after
ORDER BY position LIMIT :limit

-- name: operation_next
SELECT position, task_id FROM {operation_ids} WHERE operation = :id AND outcome IS NULL ORDER BY position LIMIT :limit

-- name: take_operation
UPDATE {operations} SET driver = :driver, driven_until = strftime('%Y-%m-%d %H:%M:%f', 'now', (:lease) || ' seconds')
WHERE id = :id AND ended_at IS NULL AND driven_until <= {now}

-- name: drive_operation
UPDATE {operations} SET driven_until = strftime('%Y-%m-%d %H:%M:%f', 'now', (:lease) || ' seconds')
WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: leave_operation
UPDATE {operations} SET driven_until = {now} WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: operation_collected
UPDATE {operations} SET collected = 1, total = :total WHERE id = :id AND driver = :driver

-- name: operation_done
UPDATE {operations} SET ended_at = {now} WHERE id = :id AND ended_at IS NULL AND driver = :driver

-- name: stop_operation
UPDATE {operations} SET ended_at = {now} WHERE id = :id AND ended_at IS NULL

-- name: operation_outcome
UPDATE {operation_ids} SET outcome = :outcome WHERE operation = :id AND position IN (SELECT value FROM json_each(:positions))

-- name: forsaken_operations
SELECT id FROM {operations} WHERE ended_at IS NULL AND driven_until <= {now} AND queue = :queue LIMIT 1

-- name: old_operations
SELECT id FROM {operations} WHERE ended_at < strftime('%Y-%m-%d %H:%M:%f', 'now', -:age || ' seconds') LIMIT 100

-- name: forget_operation_ids
DELETE FROM {operation_ids} WHERE operation = :id

-- name: forget_operation
DELETE FROM {operations} WHERE id = :id

-- name: refuse_again
UPDATE {tasks} SET status = 'failed', error_message = :error, error_type = :error_type, completed_at = {now},
  updated_at = {now}, rev = {next_rev}
WHERE id = :id AND status = 'pending' AND attempt = 0
  AND ((body IS NULL AND rerun > 0) OR message_id = :message_id OR body = :body)

-- name: reopen_refused
UPDATE {tasks} SET status = 'pending', rerun = rerun + 1, error_message = NULL, error_type = NULL,
  completed_at = NULL, updated_at = {now}, rev = {next_rev}
WHERE id = :id AND status = 'failed' AND attempt = 0 AND body IS NULL AND queue IS NOT NULL

-- name: view
SELECT t.id, t.task_type, t.status, t.data, t.result, t.error_message, t.progress, t.retry_count, t.max_retry_count,
  t.callback_url, t.callback_type, t.created_at, t.updated_at, t.started_at, t.completed_at, t.progress_message,
  t.callback_data, t.error_type, t.last_error_type, t.traceback, t.priority, t.timeout, t.attempt, t.crashes,
  t.interruptions, t.worker_id, (SELECT w.name FROM {workers} w WHERE w.id = t.worker_id) AS worker, t.handed_off,
  t.next_run_at, t.cancel_requested, t.checkpoint, t.queue,
  (julianday(t.next_run_at) - julianday('now')) * 86400 AS due_in
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
  (julianday(t.next_run_at) - julianday('now')) * 86400 AS due_in
FROM {tasks} t WHERE t.id IN (SELECT value FROM json_each(:ids))

-- name: details_of
SELECT t.id, CASE WHEN :with_data = 1 THEN t.data END AS data, a.started_at, a.ended_at
FROM {tasks} t LEFT JOIN {attempts} a ON a.task_id = t.id AND a.attempt = t.attempt
WHERE t.id IN (SELECT value FROM json_each(:ids))

-- name: tasks_listed
-- What stands for (keys) is built of what is asked, from the beginnings that follow; `at` is exact to the microsecond.
SELECT t.id, t.task_type, t.status, t.progress, t.progress_message, t.retry_count, t.max_retry_count, t.attempt,
  t.error_message, t.error_type, t.last_error_type, t.created_at, t.updated_at, t.started_at, t.completed_at, t.queue,
  (julianday(t.next_run_at) - julianday('now')) * 86400 AS due_in, k.created_at AS at
FROM (keys) k CROSS JOIN {tasks} t ON t.id = k.id
ORDER BY k.created_at DESC, k.id DESC LIMIT :limit

-- name: position_of
SELECT t.created_at AS at FROM {tasks} t WHERE t.id = :id

-- name: keys_end
SELECT k.created_at AS at, k.id FROM (keys) k ORDER BY k.created_at DESC, k.id DESC LIMIT 1

-- name: by_created
FROM {tasks} t INDEXED BY `{name}_created`

-- name: by_status
FROM {tasks} t INDEXED BY `{name}_status`

-- name: by_type
FROM {tasks} t INDEXED BY `{name}_type`

-- name: by_error
FROM {tasks} t INDEXED BY `{name}_error`

-- name: by_last_error
FROM {tasks} t INDEXED BY `{name}_last_error`

-- name: by_queue
FROM {tasks} t INDEXED BY `{name}_queue`

-- name: by_id
FROM {tasks} t INDEXED BY `sqlite_autoindex_{name}_1`

-- name: took
-- How long tasks took, on average.
AVG((julianday(t.completed_at) - julianday(t.started_at)) * 86400)

-- name: beside
-- Whether another queue has tasks in the table, too.
SELECT EXISTS (SELECT 1 FROM {tasks} t INDEXED BY `{name}_queue` WHERE t.queue < :queue)
  OR EXISTS (SELECT 1 FROM {tasks} t INDEXED BY `{name}_queue` WHERE t.queue > :queue) AS others

-- name: workers
SELECT w.id, w.name, w.queue, w.version, w.concurrency, w.started_at, w.expires_at, w.expires_at > {now} AS alive,
  (SELECT COUNT(*) FROM {tasks} t WHERE t.status = 'running' AND t.worker_id = w.id) AS running
FROM {workers} w ORDER BY alive DESC, w.started_at

-- name: callback_counts
-- Of each kind at most so many are looked at. Letters (rerun < 0) are apart from the others.
SELECT 'owed' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c INDEXED BY `{name}_callbacks_due` WHERE c.next_try_at IS NOT NULL LIMIT :limit) w
UNION ALL
SELECT 'dead' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c INDEXED BY `{name}_callbacks_dead` WHERE c.dead = 1 LIMIT :limit) w
UNION ALL
SELECT 'others' AS what, COUNT(*) AS n, SUM(CASE WHEN w.rerun < 0 THEN 1 ELSE 0 END) AS letters
FROM (SELECT c.rerun FROM {callbacks} c INDEXED BY `{name}_callbacks_dead` WHERE c.dead = 0 LIMIT :limit) w

-- name: oldest_pending
-- Of the first that wait, by their age: what is deferred may be older than what is due.
SELECT (julianday({now}) - julianday(MIN(due))) * 86400 AS seconds FROM
  (SELECT COALESCE(next_run_at, created_at) AS due FROM {tasks} WHERE status = 'pending' ORDER BY created_at LIMIT 1000) waiting
WHERE due <= {now}

-- name: callbacks_waiting
SELECT (SELECT COUNT(*) FROM {callbacks} c WHERE c.next_try_at IS NOT NULL) AS owed, (SELECT COUNT(*) FROM {callbacks} c WHERE c.dead = 1) AS dead

-- name: owed
SELECT COUNT(*) AS owed FROM {owed_work} WHERE +queue = :queue

-- name: tables
SELECT name, (sql LIKE '%task_type%' AND sql LIKE '%callback_url%' AND sql LIKE '%max_retry_count%') AS of_tasks
FROM sqlite_master WHERE type = 'table'

-- name: schema_version
SELECT MAX(version) AS version FROM {schema_version}

-- name: create_schema_version
CREATE TABLE IF NOT EXISTS {schema_version} (version INTEGER NOT NULL PRIMARY KEY, applied_at TEXT NOT NULL)

-- name: migrated
INSERT INTO {schema_version} (version, applied_at) VALUES (:version, {now})
ON CONFLICT (version) DO NOTHING

-- name: postpone_start
UPDATE {tasks} SET status = CASE WHEN status = 'retrying' THEN status ELSE 'pending' END, crashes = :crashes,
  worker_id = NULL, ahead = 0, handed_off = :parked, reserved = 1 - :parked,
  next_run_at = CASE WHEN :parked = 1 THEN COALESCE(next_run_at, {now}) ELSE strftime('%Y-%m-%d %H:%M:%f', 'now', :delay || ' seconds') END,
  next_check_at = CASE WHEN :parked = 1 THEN strftime('%Y-%m-%d %H:%M:%f', 'now', :years || ' years') ELSE strftime('%Y-%m-%d %H:%M:%f', 'now', (:delay + :grace) || ' seconds') END,
  message_id = :message_id, body = COALESCE(body, :body), headers = COALESCE(headers, :headers),
  queue = COALESCE(queue, :queue), updated_at = {now}, rev = {next_rev}
WHERE id = :id

-- name: pauses
SELECT task_type, since, until, COALESCE(until <= {now}, 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue

-- name: pause_shared
SELECT task_type, since, until, COALESCE(until <= {now}, 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue AND task_type = :task_type

-- name: pause_locked
SELECT task_type, since, until, COALESCE(until <= {now}, 0) AS expired, cool_down, probe, reason
FROM {pauses} WHERE queue = :queue AND task_type = :task_type

-- name: insert_pause
INSERT INTO {pauses} (queue, task_type, since, until, cool_down, reason, parked_from, parked_to)
VALUES (:queue, :task_type, {now}, COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :cool_down || ' seconds')), :cool_down, :reason, :parked_from, :parked_to)

-- name: pause_anew
UPDATE {pauses} SET since = CASE WHEN :goes_on = 1 THEN since ELSE {now} END,
  until = COALESCE(:until, strftime('%Y-%m-%d %H:%M:%f', 'now', :cool_down || ' seconds')), cool_down = :cool_down, probe = NULL, reason = :reason
WHERE queue = :queue AND task_type = :task_type

-- name: end_pause
UPDATE {pauses} SET until = {now}, cool_down = NULL, probe = NULL WHERE queue = :queue AND task_type = :task_type

-- name: let_probe_through
UPDATE {pauses} SET until = strftime('%Y-%m-%d %H:%M:%f', 'now', cool_down || ' seconds'), probe = :probe WHERE queue = :queue AND task_type = :task_type

-- name: forget_pause
DELETE FROM {pauses} WHERE queue = :queue AND task_type = :task_type

-- name: parked
SELECT id, attempt, message_id, body, headers FROM {tasks}
WHERE next_check_at >= :parked_from AND next_check_at < :parked_to AND +status IN ('pending', 'retrying')
  AND +task_type = :task_type AND +queue = :queue AND next_run_at <= {now}
ORDER BY next_check_at LIMIT :limit

-- name: unpark
UPDATE {tasks} SET next_check_at = strftime('%Y-%m-%d %H:%M:%f', 'now', :grace || ' seconds'), rev = {next_rev}
WHERE id IN (SELECT value FROM json_each(:ids))

-- name: pause_counts
SELECT p.queue, p.task_type, p.since, p.until, COALESCE(p.until <= {now}, 0) AS expired, p.cool_down, p.reason,
  (SELECT COUNT(*) FROM {tasks} t
    WHERE t.next_check_at >= p.parked_from AND t.next_check_at < p.parked_to AND +t.status IN ('pending', 'retrying')
      AND +t.task_type = p.task_type AND +t.queue = p.queue AND t.next_run_at <= {now}) AS parked
FROM {pauses} p ORDER BY p.queue, p.task_type

-- name: insert_rate
INSERT INTO {rates} (queue, handler, free_at, paced_at)
VALUES (:queue, :handler, julianday('now') * 86400, julianday('now') * 86400)
ON CONFLICT (queue, handler) DO NOTHING

-- name: rate
SELECT free_at - julianday('now') * 86400 AS until_free, paced_at - julianday('now') * 86400 AS until_paced FROM {rates}
WHERE queue = :queue AND handler = :handler

-- name: reserve_start
UPDATE {rates} SET free_at = MAX(free_at, julianday('now') * 86400) + :interval
WHERE queue = :queue AND handler = :handler

-- name: count_start
UPDATE {rates} SET paced_at = MAX(paced_at, julianday('now') * 86400) + :interval
WHERE queue = :queue AND handler = :handler

-- name: count_minute
INSERT INTO {minutes} (minute, queue, task_type, outcome, error_type, up_to_ms, n, seconds)
VALUES (:minute, :queue, :task_type, :outcome, :error_type, :bound, :n, :seconds)
ON CONFLICT (minute, queue, task_type, outcome, error_type, up_to_ms) DO UPDATE SET n = n + :n, seconds = seconds + :seconds

-- name: minutes_between
-- What a queue or a type must be is put in where it is asked for.
SELECT task_type, outcome, error_type, up_to_ms, SUM(n) AS n, SUM(seconds) AS seconds FROM {minutes}
WHERE minute >= :since AND minute < :until GROUP BY 1, 2, 3, 4

-- name: minutes_series
SELECT minute - minute % :step AS at, outcome, up_to_ms, SUM(n) AS n, SUM(seconds) AS seconds FROM {minutes}
WHERE minute >= :since AND minute < :until GROUP BY 1, 2, 3

-- name: prune_minutes
DELETE FROM {minutes} WHERE (minute, queue, task_type, outcome, error_type, up_to_ms) IN (SELECT minute, queue, task_type,
  outcome, error_type, up_to_ms FROM {minutes} WHERE minute < :before ORDER BY minute LIMIT :limit)
