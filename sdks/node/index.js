// Task handlers for gridsidecar: one function, or one for each task type, in oneshot and in persistent mode.

import tty from "node:tty";
import { Channel } from "./channel.js";
import { chooser, sendResult } from "./choosing.js";
import { Context } from "./context.js";
import { flushPrinted, printToTasks, within } from "./crowd.js";
import { errorEvent, exitCodeOf, Permanent, Retry } from "./errors.js";
import { messages, parse } from "./input.js";

export { ApiError, TaskClient, Unreachable } from "./client.js";
export { Permanent, Retry };

const SDK = "node/0.2.0";
const NEVER_FINISHED = "the handler never finished: its promise is pending and there is nothing left to wait for";
const NO_TASK = "stdin holds no task message; the SDK needs `input: task` in the handler's configuration";

let worker;

/** Take one task (or one after the other, or up to `concurrency` at once, as the sidecar says), run its handler, report,
 * and end the process. */
export async function run(handlers, { concurrency = 1 } = {}) {
  const choose = chooser(handlers);
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`concurrency must be a whole number from 1, not ${concurrency}`);
  }
  if (worker !== undefined) throw new Error("run() serves all tasks of this process and may be called once");
  if (process.env.GRIDSIDECAR === undefined && tty.isatty(0)) {
    console.error(`This is a gridsidecar handler. Try it: gridsidecar exec --data '{}' -- node ${process.argv[1]}`);
    process.exit(64);
  }
  worker = new Worker(choose);
  if (process.env.GRIDSIDECAR_MODE !== "persistent") await leave(await worker.once());
  await leave(concurrency === 1 ? await worker.serve() : await worker.serveMany(concurrency));
}

class Worker {
  #choose;
  #channel = new Channel();
  #current; // the attempt that runs

  constructor(choose) {
    this.#choose = choose;
    process.on("beforeExit", () => this.#finishUnfinished());
  }

  async once() {
    process.on("uncaughtException", (error) => this.#crash(error));
    for await (const text of messages(false)) {
      const task = parse(text);
      if (task?.type === "task") return this.#attempt(task);
    }
    return this.#fail(new Context(this.#channel, {}), new Permanent(NO_TASK, { type: "ProtocolError" }));
  }

  /** A stray exception ends a persistent process as Node does by itself, with no event: after one, the sidecar would
   * give the next task to a process that is about to go. */
  async serve() {
    let running = Promise.resolve();
    this.#channel.send({ type: "ready", sdk: SDK, capabilities: ["cancel"] });
    for await (const line of messages(true)) {
      const message = parse(line);
      if (message?.type === "task") running = running.then(() => this.#attempt(message));
      else if (message?.type === "cancel") this.#cancel(message);
    }
    await running;
    return 0;
  }

  /** Many tasks at once. SIGTERM aborts all; who never asked for its signal is ended with the others. */
  async serveMany(concurrency) {
    const contexts = new Map();
    const attempts = new Set();
    const leaveIfOver = () => ![...contexts.values()].some((each) => each.watched) && leave(143);
    printToTasks();
    process.on("SIGTERM", () => {
      for (const each of contexts.values()) each.cancel("SIGTERM");
      setImmediate(leaveIfOver);
    });
    this.#channel.send({ type: "ready", sdk: SDK, capabilities: ["cancel"], concurrency });
    for await (const line of messages(true)) {
      const message = parse(line);
      if (message?.type === "cancel") {
        const named = contexts.get(message.task_id);
        if (named && (message.attempt ?? named.attempt) === named.attempt) named.cancel(message.reason);
      }
      if (message?.type !== "task") continue;
      const context = new Context(this.#channel, message, true);
      contexts.set(context.task_id, context);
      const attempt = within(context, () => this.#oneOfMany(message, context)).then(() => {
        attempts.delete(attempt);
        if (contexts.get(context.task_id) === context) contexts.delete(context.task_id);
        if (context.terminated) leaveIfOver();
      });
      attempts.add(attempt);
    }
    await Promise.all(attempts);
    return 0;
  }

  async #oneOfMany(task, context) {
    try {
      const result = await this.#choose(task)(task, context);
      flushPrinted();
      sendResult(context, result);
    } catch (error) {
      flushPrinted();
      this.#fail(context, error);
    }
  }

  #cancel({ task_id, attempt, reason }) {
    const current = this.#current;
    if (current?.task_id === task_id && (attempt ?? current.attempt) === current.attempt) current.cancel(reason);
  }

  /** Run one task to its last event; the exit code for it. */
  async #attempt(task) {
    const context = new Context(this.#channel, task);
    this.#current = context;
    let code = 0;
    try {
      const result = await this.#choose(task)(task, context);
      sendResult(context, result);
    } catch (error) {
      code = this.#fail(context, error);
    }
    this.#current = undefined;
    if (context.terminated) await leave(code);
    return code;
  }

  #fail(context, error) {
    if (!(error instanceof Retry || error instanceof Permanent)) {
      console.error(error); // with its stack, for the log of the task
      if (context.terminated) {
        context.close();
        return 143;
      }
    }
    context.end(errorEvent(error));
    return exitCodeOf(error);
  }

  #crash(error) {
    if (process.listenerCount("uncaughtException") > 1) return; // somebody else deals with it
    if (this.#current === undefined) console.error(error);
    else this.#fail(this.#current, error);
    process.exit(1);
  }

  #finishUnfinished() {
    if (this.#current !== undefined) process.exit(this.#fail(this.#current, new Error(NEVER_FINISHED)));
  }
}

/** End the process once its output is out: process.exit alone would cut it off. Open handles do not hold it. */
async function leave(code) {
  await Promise.all([process.stdout, process.stderr].map(drained));
  process.exit(code);
}

function drained(stream) {
  return new Promise((done) => {
    stream.on("error", done);
    stream.write("", () => done());
  });
}
