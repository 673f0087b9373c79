// One attempt at one task, as the handler sees it.

import { inspect } from "node:util";
import { toJson } from "./channel.js";

const LEVELS = { warn: "warning", critical: "error", fatal: "error", trace: "debug" };

export class Context {
  #channel;
  #controller = new AbortController();
  #watched = false;
  #open = true;
  #onTerm = () => this.#abort("SIGTERM");
  #shares;

  /** `shares`: other tasks are in this process, so that nothing may end it for this one. */
  constructor(channel, task, shares = false) {
    this.#channel = channel;
    this.#shares = shares;
    this.task = task;
    this.task_id = task.task_id;
    this.task_type = task.task_type;
    this.attempt = task.run?.attempt ?? 1;
    this.lastCheckpoint = task.run?.checkpoint ?? null;
    this.terminated = false; // by SIGTERM: the sidecar knows why, and says so better than an error of ours
  }

  /** Fires when the task is to stop: at SIGTERM, and when it is cancelled. Who never asks for it is ended at once. */
  get signal() {
    if (!this.#watched && this.#open && !this.#shares) process.on("SIGTERM", this.#onTerm);
    this.#watched = true;
    return this.#controller.signal;
  }

  progress(percent, message) {
    const figure = Number.isFinite(percent) ? { progress: Math.min(100, Math.max(0, percent)) } : {};
    const words = message === undefined || message === null ? {} : { progress_message: String(message) };
    this.#send({ type: "progress", ...figure, ...words });
  }

  log(level, message, fields) {
    const known = LEVELS[level] ?? String(level);
    this.#send({ type: "log", level: known, message: String(message), fields: loggable(fields) });
  }

  checkpoint(data) {
    this.#send({ type: "checkpoint", data: data === undefined ? null : data });
  }

  heartbeat() {
    this.#send({ type: "heartbeat" });
  }

  /** Send the last event of this attempt; nothing goes out after it. */
  end(event) {
    this.#send(event);
    this.close();
  }

  close() {
    this.#open = false;
    process.off("SIGTERM", this.#onTerm);
  }

  /** The sidecar asks for the end of this task but not of this process. */
  cancel(reason) {
    if (this.#watched || this.#shares) this.#abort(reason ?? "cancel");
    else process.kill(process.pid, "SIGTERM"); // nobody listens, so only the process can end
  }

  get open() {
    return this.#open;
  }

  /** Somebody listens, and will end the task. */
  get watched() {
    return this.#watched;
  }

  #abort(reason) {
    this.terminated ||= reason === "SIGTERM";
    const stopped = new Error(`the task was stopped (${reason})`);
    stopped.name = "Stopped";
    this.#controller.abort(stopped);
  }

  #send(event) {
    if (this.#open) this.#channel.send({ ...event, task_id: this.task_id });
  }
}

/** A log line shall not fail a task: what is no JSON is shown as text. */
function loggable(fields) {
  if (fields === undefined || fields === null) return undefined;
  try {
    return JSON.parse(toJson(fields));
  } catch {
    return { fields: inspect(fields, { depth: 4, breakLength: Infinity }) };
  }
}
