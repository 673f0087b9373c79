/** Any value that JSON can carry. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What a handler may return: `undefined` means null, `toJSON` is honoured. */
export type Result = unknown;

export interface Task<Data = any> {
  task_id: string;
  task_type: string;
  data: Data;
  max_retry_count?: number;
  callback_data?: Json;
  run: {
    /** Counts from 1. */
    attempt: number;
    /** The same on every attempt. */
    idempotency_key: string;
    redelivered?: boolean;
    timeout_s?: number | null;
    grace_s?: number;
    /** Milliseconds since 1970. */
    deadline_ms?: number | null;
    traceparent?: string | null;
    checkpoint?: any;
  };
  /** Further fields, as the producer sent them. */
  [field: string]: any;
}

export type Level = "debug" | "info" | "warning" | "error";

export interface Context<Data = any> {
  readonly task: Task<Data>;
  readonly task_id: string;
  readonly task_type: string;
  readonly attempt: number;
  /** What an earlier attempt saved with `checkpoint`, else null. */
  readonly lastCheckpoint: any;
  /** Fires when the task is to stop. A handler that never asks for it is ended at once. */
  readonly signal: AbortSignal;
  /** 0 to 100; a message, or both. */
  progress(percent: number | null | undefined, message?: string): void;
  log(level: Level, message: string, fields?: Record<string, unknown>): void;
  /** Save where a next attempt can go on. Throws when the data is no JSON. */
  checkpoint(data: unknown): void;
  /** Say that the handler lives, where it has nothing else to say. */
  heartbeat(): void;
}

export type Handler<Data = any> = (task: Task<Data>, context: Context<Data>) => Result | Promise<Result>;

export interface FailureOptions {
  /** Stable name of the error; that of `cause` by default. */
  type?: string;
  cause?: unknown;
}

export interface RetryOptions extends FailureOptions {
  /** Not before so many seconds; as the retry policy says by default. */
  afterSeconds?: number;
}

/** The task failed for a reason that passes: try again. */
export class Retry extends Error {
  constructor(message?: string, options?: RetryOptions);
  constructor(options: RetryOptions);
  readonly afterSeconds?: number;
  readonly type?: string;
}

/** The task failed for good: no further attempt. */
export class Permanent extends Error {
  constructor(message?: string, options?: FailureOptions);
  constructor(options: FailureOptions);
  readonly type?: string;
}

export interface RunOptions {
  /** Most tasks at once in one process, in persistent mode and as far as `persistent.concurrency` allows; 1 by default. */
  concurrency?: number;
}

/** Serve this process's tasks with one function, or with one for each task type (`default` takes the others).
 * Ends the process when there is no more to do. */
export function run(handlers: Handler | Record<string, Handler>, options?: RunOptions): Promise<never>;

/** A task as the server has it. */
export interface TaskInfo {
  task_id: string;
  task_type: string;
  status: "pending" | "running" | "retrying" | "success" | "failed" | "cancelled";
  /** 0 to 100. */
  progress: number;
  progress_message: string | null;
  data?: any;
  result?: any;
  error_message: string | null;
  error_type: string | null;
  attempt: number;
  [field: string]: any;
}

/** What the list of tasks may be narrowed to. */
export interface TaskFilters {
  status?: TaskInfo["status"] | TaskInfo["status"][];
  type?: string | string[];
  error_type?: string;
  queue?: string;
  /** `2h`, `7d` ago, or a time. */
  since?: string;
  until?: string;
  id_prefix?: string;
}

export interface WaitOptions {
  timeoutSeconds?: number;
  onProgress?: (task: TaskInfo) => void;
  signal?: AbortSignal;
}

/** Which tasks are meant: all members must hold; `all` is every task that can be meant, and nothing beside it. */
export type BulkFilter =
  | { all: true }
  | {
      status?: TaskInfo["status"] | TaskInfo["status"][];
      type?: string;
      error_type?: string;
      /** `2h`, `7d` ago, or a time. */
      since?: string;
      until?: string;
    };

/** What a dry run found. */
export interface Preview {
  count: number;
  /** How many of which type are in which state. */
  tasks: { task_type: string; status: TaskInfo["status"]; count: number }[];
  /** What would come of the first of them. */
  outcomes: Record<string, number>;
  [field: string]: any;
}

/** A cancel or retry of many tasks, which goes on whatever dies. */
export interface Operation {
  operation: string;
  kind: "cancel" | "retry";
  /** `starting`: all is done, and the starts of its tasks are spread over the time that is left. */
  state: "running" | "waiting" | "starting" | "ended" | "count_changed";
  tasks: number;
  done?: number;
  /** What came of its tasks; `open` are still to be done. */
  outcomes?: Record<string, number>;
  [field: string]: any;
}

export interface WaitOperationOptions {
  timeoutSeconds?: number;
  onProgress?: (operation: Operation) => void;
  signal?: AbortSignal;
}

/** A worker, queue, pause, callback or dead letter as the API describes it. */
export type Row = Record<string, any>;

/** Asks a sidecar's HTTP API. */
export class TaskClient {
  constructor(url: string, options?: { token?: string; timeoutSeconds?: number });
  submit(message: { task_id?: string; task_type?: string; data?: Json; [field: string]: any }): Promise<string>;
  status(taskId: string): Promise<TaskInfo>;
  wait(taskId: string, options?: WaitOptions): Promise<TaskInfo>;
  cancel(taskId: string): Promise<"cancelled" | "asked" | "noted">;
  retry(taskId: string): Promise<void>;
  logs(taskId: string, attempt?: number): Promise<string>;
  tasks(filters?: TaskFilters): AsyncGenerator<TaskInfo>;
  stats(): Promise<Record<string, any>>;
  preview(kind: "cancel" | "retry", filter: BulkFilter): Promise<Preview>;
  cancelMany(filter: BulkFilter, options: { expectedCount: number }): Promise<Operation>;
  retryMany(filter: BulkFilter, options: { expectedCount: number; over?: string }): Promise<Operation>;
  operation(operationId: string): Promise<Operation>;
  operations(limit?: number): Promise<Operation[]>;
  operationResults(operationId: string): AsyncGenerator<{ position: number; task_id: string; outcome: string | null }>;
  waitOperation(operationId: string, options?: WaitOperationOptions): Promise<Operation>;
  stopOperation(operationId: string): Promise<void>;
  pause(taskType: string, options?: { until?: string; reason?: string }): Promise<void>;
  resume(taskType: string): Promise<void>;
  pauses(): Promise<Row[]>;
  queues(): Promise<Row[]>;
  workers(): Promise<Row[]>;
  callbacks(options?: { taskId?: string; dead?: boolean; limit?: number }): Promise<Row[]>;
  replayCallbacks(taskOrCallbackId: string): Promise<number>;
  replayDeadCallbacks(): Promise<number>;
  callback(taskOrCallbackId: string): Promise<Row[]>;
  dropCallbacks(taskOrCallbackId: string): Promise<number>;
  dropDeadCallbacks(): Promise<number>;
  deadLetters(limit?: number): Promise<Row[]>;
  deadLetter(id: string): Promise<Row[]>;
  /** Without ids all letters of the queue. */
  replayDead(ids?: string[]): Promise<{ outcomes: Record<string, number>; letters: Row[]; unknown: string[] }>;
  dropDead(ids?: string[]): Promise<{ dropped: number; letters: Row[]; unknown: string[] }>;
}

/** The server refused a request; `kind` names why: `unknown-task`, `wrong-state`, `task-exists`, … */
export class ApiError extends Error {
  readonly status: number;
  readonly kind: string;
  readonly state?: string;
  readonly problem: Record<string, any>;
}

/** The server does not answer, or not with what it should. */
export class Unreachable extends Error {}
