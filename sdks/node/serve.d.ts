import type { Handler } from "./index.js";

/** One function, or one for each task type; `default` takes what no other does. */
export type Handlers = Handler | Record<string, Handler>;

export interface ServeOptions {
  /** 8000 by default. */
  port?: number;
  /** 127.0.0.1 by default: what shares the pod's network reaches it, and nobody else. */
  host?: string;
  /** The path of a Unix socket, in place of both. */
  socket?: string;
}

/** An `http.Server`. */
export interface Serving {
  close(done?: (error?: Error) => void): unknown;
  address(): { port: number } | string | null;
}

/** Answers the requests of a sidecar in any server: `app.post("/tasks", listener(handler))`. */
export function listener(handlers: Handlers): (request: any, response: any) => Promise<void>;

/** A server for the tasks that a sidecar posts (`mode: http`); it resolves once it listens. */
export function serve(handlers: Handlers, options?: ServeOptions): Promise<Serving>;
