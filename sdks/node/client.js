// Asks a sidecar's HTTP API: submit tasks, look at them, wait for them, cancel and retry them.

import crypto from "node:crypto";

const ENDED = ["success", "failed", "cancelled"];
const LOOKS = [100, 200, 500, 1000]; // milliseconds between looks at a task that is waited for; the last one stays
const PAGE = 100; // tasks
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

export class TaskClient {
  #base;
  #headers;
  #timeout;

  /** `url` is that of `http.listen` or of a proxy, with its base path; `timeoutSeconds` of each request. */
  constructor(url, { token, timeoutSeconds = 30 } = {}) {
    const parts = new URL(url);
    if (!["http:", "https:"].includes(parts.protocol)) {
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
