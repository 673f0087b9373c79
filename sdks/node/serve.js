// A server for the tasks that a sidecar posts (mode: http): one request for each, its answer what the handler reports.

import http from "node:http";
import { lineOf } from "./channel.js";
import { chooser, sendResult } from "./choosing.js";
import { Context } from "./context.js";
import { errorEvent } from "./errors.js";

const MAX_BODY_BYTES = 64 * 1024 * 1024;
const NO_TASK = "this address takes the tasks of gridsidecar: POST one as JSON (mode: http)\n";

/** `(request, response)` for any server; in Express `app.post("/tasks", listener(handler))`. */
export function listener(handlers) {
  const choose = chooser(handlers);
  return async (request, response) => {
    const task = request.method === "POST" ? await taskOf(request) : undefined;
    if (task?.type !== "task") {
      response.writeHead(400, { "Content-Type": "text/plain" }).end(NO_TASK);
      return;
    }
    response.writeHead(200, { "Content-Type": "application/x-ndjson" });
    const send = (event) => {
      const line = lineOf(event);
      if (!response.destroyed) response.write(line);
    };
    const context = new Context({ send }, task, true);
    response.on("close", () => context.open && context.cancel("the connection was closed"));
    await attempt(choose, task, context);
    response.end();
  };
}

/** A server of its own on `port` of `host`, or on the Unix socket `socket`; it resolves to that once it listens. SIGTERM
 * lets it end what runs, and take no more. */
export function serve(handlers, { port = 8000, host = "127.0.0.1", socket } = {}) {
  const server = http.createServer(listener(handlers));
  server.requestTimeout = 0; // that is the sidecar's business
  process.once("SIGTERM", () => server.close());
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket === undefined ? { port, host } : { path: socket }, () => resolve(server));
  });
}

async function attempt(choose, task, context) {
  try {
    sendResult(context, await choose(task)(task, context));
  } catch (error) {
    if (context.open) context.end(errorEvent(error));
  }
}

/** Its body, unless something before us has read that. */
async function taskOf(request) {
  if (typeof request.body === "object" && request.body !== null) return request.body;
  const parts = [];
  let size = 0;
  try {
    for await (const part of request) {
      size += part.length;
      if (size > MAX_BODY_BYTES) return undefined;
      parts.push(part);
    }
    return JSON.parse(Buffer.concat(parts).toString());
  } catch {
    return undefined; // no JSON, or the sidecar went in the middle
  }
}
