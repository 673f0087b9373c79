// Where events go: the pipe that the sidecar offers, or marked lines on stdout where there is none.

import fs from "node:fs";
import { takeOver } from "./input.js";

const MAX_LINE_BYTES = 4 * 1024 * 1024;
const MAX_CHECKPOINT_BYTES = 64 * 1024;
const MAX_DEPTH = 100;

export class Channel {
  #fd;

  constructor() {
    this.#fd = openPipe() ?? takeOver(1, "a", "/dev/stderr");
  }

  /** Write one event, wholly, before returning. TypeError or RangeError when it cannot be sent. */
  send(event) {
    this.#write(lineOf(event));
  }

  #write(line) {
    for (let sent = 0; sent < line.length; ) {
      try {
        sent += fs.writeSync(this.#fd, line, sent);
      } catch (error) {
        if (error.code === "EPIPE") return; // the sidecar is gone, and nobody else wants to know
        if (error.code !== "EAGAIN") throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); // ms until the reader has made room
      }
    }
  }
}

/** One event as the sidecar reads it. TypeError or RangeError when it cannot be sent. */
export function lineOf(event) {
  const line = Buffer.from(`${toJson({ gs: 1, ...event })}\n`);
  if (line.length > MAX_LINE_BYTES) {
    throw new RangeError(
      `the ${event.type} has ${line.length} bytes, more than the 4 MiB of a message: ` +
        "store it elsewhere and send a reference",
    );
  }
  if (event.type === "checkpoint" && Buffer.byteLength(toJson(event.data)) > MAX_CHECKPOINT_BYTES) {
    throw new RangeError("a checkpoint may have 64 KiB as JSON: store the rest elsewhere and save a reference");
  }
  return line;
}

function openPipe() {
  const path = process.env.GRIDSIDECAR_EVENTS;
  delete process.env.GRIDSIDECAR_EVENTS; // children of this process do not inherit the pipe
  if (!path) return undefined;
  try {
    return fs.openSync(path, "a");
  } catch {
    return undefined; // as under another user: stdout carries the marked lines then
  }
}

/** JSON that the sidecar takes: JSON.stringify alone would turn NaN into null and let half characters pass. */
export function toJson(value) {
  const text = JSON.stringify(value, onlyFinite);
  if (text === undefined) throw new TypeError(`a ${typeof value} is no JSON value`);
  if (deeper(text)) throw new RangeError(`it is nested deeper than ${MAX_DEPTH} levels`);
  return text.includes("\\ud") ? text.replace(/\\(ud[89a-f][0-9a-f]{2}|.)/g, wholeCharacter) : text;
}

/** The sidecar passes over what is nested too deep for its database. */
function deeper(text) {
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[{\]}]/g)) {
    if (token === "[" || token === "{") depth += 1;
    else if (token === "]" || token === "}") depth -= 1;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

function onlyFinite(key, value) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`JSON has no ${value} (at "${key}")`);
  return value;
}

function wholeCharacter(escape) {
  return escape.length > 2 ? "\\ufffd" : escape;
}
