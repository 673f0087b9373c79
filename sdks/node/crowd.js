// Many tasks at once in one process: which of them prints, and how all of them end.

import { AsyncLocalStorage } from "node:async_hooks";

const LONGEST = 65536; // characters of a line
const running = new AsyncLocalStorage();

/** Run `work`; what it prints, here and in all that it awaits, is a log line of this context. */
export function within(context, work) {
  return running.run({ context, lines: new Map() }, work);
}

/** From now on console and the standard streams belong to the task that prints. */
export function printToTasks() {
  for (const [stream, level] of [
    [process.stdout, "info"],
    [process.stderr, "warning"],
  ]) {
    const write = stream.write.bind(stream);
    stream.write = (data, encoding, done) => {
      const task = running.getStore();
      if (!task?.context.open) return write(data, encoding, done);
      print(task, level, typeof data === "string" ? data : Buffer.from(data).toString());
      const called = typeof encoding === "function" ? encoding : done;
      if (called) process.nextTick(called);
      return true;
    };
  }
}

function print({ context, lines }, level, text) {
  const parts = ((lines.get(level) ?? "") + text).split("\n");
  let rest = parts.pop();
  if (rest.length > LONGEST) rest = void parts.push(rest) ?? "";
  lines.set(level, rest);
  for (const line of parts) context.log(level, line);
}

/** What was printed last, and has no line end. */
export function flushPrinted() {
  const task = running.getStore();
  for (const [level, line] of task?.lines ?? []) if (line !== "") task.context.log(level, line);
  task?.lines.clear();
}
