// Which function runs a task, and what it returned as the last event.

import { Permanent } from "./errors.js";

/** The function for a task, of one for all or of an object with one for each task type. */
export function chooser(handlers) {
  if (typeof handlers === "function") return () => handlers;
  const table = new Map(Object.entries(handlers ?? {}));
  if (table.size === 0 || [...table.values()].some((handler) => typeof handler !== "function")) {
    throw new TypeError("run() takes a function, or an object with one for each task type");
  }
  return (task) => {
    const handler = table.get(task.task_type) ?? table.get("default");
    if (handler === undefined) {
      const known = [...table.keys()].join(", ");
      throw new Permanent(`no handler for task type ${task.task_type}; there are ${known}`, { type: "NoHandler" });
    }
    return handler;
  };
}

export function sendResult(context, result) {
  try {
    context.end({ type: "result", result: typeof result === "undefined" ? null : checked(result) });
  } catch (error) {
    throw new Permanent(`the result cannot be sent as JSON: ${error.message}`, { type: error.name, cause: error });
  }
}

/** JSON.stringify leaves functions and symbols out, which would make the result null. */
function checked(result) {
  if (typeof result === "function" || typeof result === "symbol") throw new TypeError(`a ${typeof result} is no JSON`);
  return result;
}
