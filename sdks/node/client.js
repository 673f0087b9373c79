// Asks a sidecar's HTTP API: submit tasks, look at them, wait for them, cancel and retry them.

import crypto from "node:crypto";

const ENDED = ["success", "failed", "cancelled"];
const LOOKS = [100, 200, 500, 1000]; // milliseconds between looks at a task that is waited for; the last one stays
const PAGE = 100; // tasks
const OPERATION_ENDED = ["starting", "ended", "count_changed"];
const AGAIN = [502, 503, 504];

/** The server refused a request: `status`, `kind` for programs (`unknown-task`, `wrong-state`, …), the task's `state`. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.kind = String(problem.type ?? "").split(":").pop();
    this.state = problem.state ?? undefined;
    this.problem = problem;
  }
}

/** The server does not answer, or not with what it should. */
export class Unreachable extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "Unreachable";
  }
}

function parsed(url) {
  try {
    return new URL(url);
  } catch {
    return null;
  }
}

export class TaskClient {
  #base;
  #headers;
  #timeout;

  /** `url` is that of `http.listen` or of a proxy, with its base path; `timeoutSeconds` of each request. */
  constructor(url, { token, timeoutSeconds = 30 } = {}) {
    const parts = parsed(url);
    if (!["http:", "https:"].includes(parts?.protocol)) {
      throw new TypeError(`${url} is no http:// or https:// address`);
    }
    this.#base = parts.origin + parts.pathname.replace(/\/+$/, "");
    this.#headers = { Accept: "application/json", ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) };
    this.#timeout = timeoutSeconds * 1000;
  }

  /** Put a task message on the queue; its id, which is made up where it has none. The same message once more changes
   * nothing; another one under its id is an ApiError of kind `task-exists`. */
  async submit(message) {
    const body = { ...message, task_id: message.task_id ?? crypto.randomUUID() };
    return (await this.#ask("POST", "/v1/tasks", { body })).task_id;
  }

  /** ApiError of kind `unknown-task` where no worker has taken it yet. */
  status(taskId) {
    return this.#ask("GET", path(taskId));
  }

  /** The task when it has ended. `onProgress` hears of each change that is seen. Rejects after `timeoutSeconds`, or with
   * `signal`'s reason; a server that is away is waited for. */
  async wait(taskId, { timeoutSeconds = Infinity, onProgress, signal } = {}) {
    const until = performance.now() + timeoutSeconds * 1000;
    let seen;
    for (let look = 0; ; look += 1) {
      signal?.throwIfAborted();
      const task = await this.#known(taskId);
      if (task !== undefined) {
        const now = JSON.stringify([task.status, task.progress, task.progress_message, task.attempt]);
        if (now !== seen) onProgress?.(task);
        seen = now;
        if (ENDED.includes(task.status)) return task;
      }
      const pause = LOOKS[Math.min(look, LOOKS.length - 1)];
      if (performance.now() + pause > until) {
        throw new Error(`the task ${taskId} has not ended within ${timeoutSeconds} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async #known(taskId) {
    try {
      return await this.status(taskId);
    } catch (error) {
      if (error instanceof Unreachable || error.kind === "unknown-task" || AGAIN.includes(error.status)) return undefined;
      throw error;
    }
  }

  /** `cancelled`, `asked` (it runs, and ends within seconds) or `noted` (nobody has seen it: it will not run). */
  async cancel(taskId) {
    return (await this.#ask("POST", `${path(taskId)}/cancel`, { body: {} })).outcome;
  }

  /** Run it again under the same id: what failed or was cancelled. */
  async retry(taskId) {
    await this.#ask("POST", `${path(taskId)}/retry`, { body: {} });
  }

  /** What its handler said so far, in the newest attempt or in this one. */
  async logs(taskId, attempt) {
    const said = await this.#ask("GET", `${path(taskId)}/logs`, { query: { attempt } });
    return said.pieces.map((piece) => piece.text).join("");
  }

  /** Tasks, newest first, without data and results. */
  async *tasks(filters = {}) {
    const query = { limit: PAGE, ...filters };
    for (;;) {
      const page = await this.#ask("GET", "/v1/tasks", { query });
      yield* page.tasks;
      if (page.next === null) return;
      query.cursor = page.next;
    }
  }

  /** How many tasks are where, what is owed, who works, what is paused. */
  stats() {
    return this.#ask("GET", "/v1/stats");
  }

  // -- many at once ---------------------------------------------------------------------------------------------------

  /** What a `cancel` or a `retry` of the tasks that a filter names would do; changes nothing. */
  preview(kind, filter) {
    return this.#ask("POST", `/v1/tasks/${encodeURIComponent(kind)}`, { body: { filter, dry_run: true } });
  }

  /** Cancel all tasks that the filter names, where these are as many as expected; else nothing is done, and it is an
   * ApiError of kind `count-changed`. */
  cancelMany(filter, { expectedCount }) {
    return this.#ask("POST", "/v1/tasks/cancel", { body: { filter, expected_count: expectedCount } });
  }

  /** The same for running them again; `over` (`10m`, `2h`) spreads their starts. */
  retryMany(filter, { expectedCount, over }) {
    return this.#ask("POST", "/v1/tasks/retry", { body: { filter, expected_count: expectedCount, over } });
  }

  /** How far an operation is. */
  operation(operationId) {
    return this.#ask("GET", operationPath(operationId), { query: { limit: 0 } });
  }

  /** The newest first. */
  async operations(limit = 20) {
    return (await this.#ask("GET", "/v1/operations", { query: { limit } })).operations;
  }

  /** `task_id` and `outcome` of each task of an operation; null is still to be done. */
  async *operationResults(operationId) {
    let after;
    do {
      const told = await this.#ask("GET", operationPath(operationId), { query: { after } });
      yield* told.results;
      after = told.next;
    } while (after !== null);
  }

  /** The operation when it has ended; a server that is away is waited for. */
  async waitOperation(operationId, { timeoutSeconds = Infinity, onProgress, signal } = {}) {
    const until = performance.now() + timeoutSeconds * 1000;
    let seen;
    for (let look = 0; ; look += 1) {
      signal?.throwIfAborted();
      const found = await this.#operationOrNothing(operationId);
      if (found !== undefined) {
        const now = JSON.stringify([found.state, found.tasks, found.done]);
        if (now !== seen) onProgress?.(found);
        seen = now;
        if (OPERATION_ENDED.includes(found.state)) return found;
      }
      const pause = LOOKS[Math.min(look, LOOKS.length - 1)];
      if (performance.now() + pause > until) {
        throw new Error(`the operation ${operationId} has not ended within ${timeoutSeconds} s`);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async #operationOrNothing(operationId) {
    try {
      return await this.operation(operationId);
    } catch (error) {
      if (error instanceof Unreachable || AGAIN.includes(error.status)) return undefined;
      throw error;
    }
  }

  /** The tasks that are left stay as they are. */
  async stopOperation(operationId) {
    await this.#ask("POST", `${operationPath(operationId)}/stop`, { body: {} });
  }

  // -- the fleet ------------------------------------------------------------------------------------------------------

  /** Start no more tasks of this type until then (`2h`, or a time), or until `resume`. What runs goes on. */
  async pause(taskType, { until, reason } = {}) {
    await this.#ask("POST", `/v1/types/${encodeURIComponent(taskType)}/pause`, { body: { until, reason } });
  }

  /** ApiError of kind `not-paused` where it is not. */
  async resume(taskType) {
    await this.#ask("POST", `/v1/types/${encodeURIComponent(taskType)}/resume`, { body: {} });
  }

  async pauses() {
    return (await this.#ask("GET", "/v1/pauses")).pauses;
  }

  /** What waits: `ready`, `delayed`, `dead`, `unsettled` (in hand), `consumers`. */
  async queues() {
    return (await this.#ask("GET", "/v1/queues")).queues;
  }

  async workers() {
    return (await this.#ask("GET", "/v1/workers")).workers;
  }

  /** The newest first; `dead`: only those that were given up, or only the others. */
  async callbacks({ taskId, dead, limit } = {}) {
    return (await this.#ask("GET", "/v1/callbacks", { query: { task_id: taskId, dead, limit } })).callbacks;
  }

  /** Send the callbacks of a task, or one by its id, again; how many they are. */
  async replayCallbacks(taskOrCallbackId) {
    const path = `/v1/callbacks/${encodeURIComponent(taskOrCallbackId)}/replay`;
    return (await this.#ask("POST", path, { body: {} })).replayed;
  }

  /** Send all again that were given up; how many they are. */
  async replayDeadCallbacks() {
    return (await this.#ask("POST", "/v1/callbacks/replay", { body: {} })).replayed;
  }

  /** These with their `body`, which is what is sent. */
  async callback(taskOrCallbackId) {
    return (await this.#ask("GET", `/v1/callbacks/${encodeURIComponent(taskOrCallbackId)}`)).callbacks;
  }

  /** Remove what is owed or was given up of a task, or one by its id; how many they are. */
  async dropCallbacks(taskOrCallbackId) {
    const path = `/v1/callbacks/${encodeURIComponent(taskOrCallbackId)}/drop`;
    return (await this.#ask("POST", path, { body: {} })).dropped;
  }

  /** Remove all that were given up; how many they are. */
  async dropDeadCallbacks() {
    return (await this.#ask("POST", "/v1/callbacks/drop", { body: {} })).dropped;
  }

  /** The oldest first, without their bodies. */
  async deadLetters(limit) {
    return (await this.#ask("GET", "/v1/dead", { query: { limit } })).dead;
  }

  /** Those of one task or message id, whole. */
  async deadLetter(id) {
    return (await this.#ask("GET", `/v1/dead/${encodeURIComponent(id)}`)).dead;
  }

  /** Put these letters, or without ids all of the queue, back on it: what came of them. */
  replayDead(ids) {
    return this.#ask("POST", "/v1/dead/replay", { body: ids === undefined ? { all: true } : { ids } });
  }

  /** Remove these, or without ids all of the queue, for good. */
  dropDead(ids) {
    return this.#ask("POST", "/v1/dead/drop", { body: ids === undefined ? { all: true } : { ids } });
  }

  async #ask(method, target, { body, query = {} } = {}) {
    const url = new URL(this.#base + target);
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) url.searchParams.append(name, one);
      }
    }
    const headers = body === undefined ? this.#headers : { ...this.#headers, "Content-Type": "application/json" };
    let response, said;
    try {
      const signal = AbortSignal.timeout(this.#timeout);
      response = await fetch(url, { method, headers, body: body && JSON.stringify(body), redirect: "error", signal });
      said = await response.json();
    } catch (error) {
      throw new Unreachable(`${this.#base} does not answer as it should: ${error.cause?.message ?? error.message}`, {
        cause: error,
      });
    }
    if (!response.ok) throw new ApiError(response.status, said ?? {});
    return said;
  }
}

function path(taskId) {
  return `/v1/tasks/${encodeURIComponent(taskId)}`;
}

function operationPath(operationId) {
  return `/v1/operations/${encodeURIComponent(operationId)}`;
}
