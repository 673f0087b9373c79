// What a handler throws to say what shall happen next, and any error as an error event.

const MAX_TEXT = 65536; // characters; the sidecar keeps less

/** The task failed for a reason that passes: try again, after `afterSeconds` if given, else as the policy says. */
export class Retry extends Error {
  constructor(message, options) {
    super(...textAndCause(message, options, "the handler asks for another attempt"));
    const { afterSeconds, type } = optionsOf(message, options);
    if (afterSeconds !== undefined && !(Number.isFinite(afterSeconds) && afterSeconds >= 0)) {
      throw new RangeError(`afterSeconds must be a number of seconds of at least 0, not ${afterSeconds}`);
    }
    this.name = "Retry";
    this.afterSeconds = afterSeconds;
    this.type = type;
  }
}

/** The task failed for good: no further attempt. */
export class Permanent extends Error {
  constructor(message, options) {
    super(...textAndCause(message, options, "the handler gave the task up"));
    this.name = "Permanent";
    this.type = optionsOf(message, options).type;
  }
}

function optionsOf(message, options) {
  return (typeof message === "object" ? message : options) ?? {};
}

function textAndCause(message, options, otherwise) {
  const { cause } = optionsOf(message, options);
  const text = typeof message === "string" && message !== "" ? message : (cause?.message ?? otherwise);
  return [String(text), cause === undefined ? undefined : { cause }];
}

/** The error event for whatever was thrown; never throws itself. */
export function errorEvent(thrown) {
  try {
    return { type: "error", ...described(thrown), ...wish(thrown) };
  } catch {
    return { type: "error", error: "the handler threw something that cannot be read", error_type: "Error" };
  }
}

/** Exit code that says the same as the error event, should that get lost. */
export function exitCodeOf(thrown) {
  if (thrown instanceof Retry) return 75;
  return thrown instanceof Permanent ? 65 : 1;
}

function described(thrown) {
  if (!(thrown instanceof Error)) {
    const text = typeof thrown === "object" ? JSON.stringify(thrown) : String(thrown);
    return { error: text.slice(0, MAX_TEXT), error_type: "Error" };
  }
  const type = thrown.type ?? (thrown instanceof Retry || thrown instanceof Permanent ? thrown.cause?.name : undefined);
  return {
    error: String(thrown.message || thrown.name).slice(0, MAX_TEXT),
    error_type: String(type ?? thrown.name ?? "Error"),
    traceback: traceback(thrown),
  };
}

function wish(thrown) {
  if (thrown instanceof Permanent) return { retryable: false };
  if (!(thrown instanceof Retry)) return {};
  return thrown.afterSeconds === undefined
    ? { retryable: true }
    : { retryable: true, retry_after_s: thrown.afterSeconds };
}

/** The stack, and those of its causes. */
function traceback(error) {
  const stacks = [];
  for (let at = error; at !== undefined && at !== null && stacks.length < 10; at = at.cause) {
    stacks.push(String(at.stack ?? at));
  }
  return stacks.join("\ncaused by: ").slice(-MAX_TEXT);
}
