// Tasks as they come in: lines of JSON on stdin.

import fs from "node:fs";
import net from "node:net";

/** A private copy of a standard descriptor, whose place `replacement` takes: what user code and its children read or
 * write there cannot get between us and the sidecar. Where it cannot be copied, the descriptor itself. */
export function takeOver(number, flags, replacement) {
  try {
    const copy = fs.openSync(`/dev/fd/${number}`, flags);
    fs.closeSync(fs.openSync(replacement, flags)); // it can be opened: only then give the place away
    fs.closeSync(number);
    fs.openSync(replacement, flags); // takes the lowest free number
    return copy;
  } catch {
    return number;
  }
}

/** The messages on stdin, each as soon as it is there. In persistent mode stdin becomes empty for everybody else. */
export async function* messages(persistent) {
  const stream = open(persistent ? takeOver(0, "r", "/dev/null") : 0);
  if (persistent) yield* lines(stream);
  else yield await whole(stream);
}

function open(fd) {
  try {
    return new net.Socket({ fd, readable: true, writable: false });
  } catch {
    return fs.createReadStream("", { fd }); // a file
  }
}

async function whole(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function* lines(stream) {
  let parts = [];
  for await (const chunk of stream) {
    let start = 0;
    for (let end; (end = chunk.indexOf(10, start)) >= 0; start = end + 1) {
      parts.push(chunk.subarray(start, end));
      yield Buffer.concat(parts).toString();
      parts = [];
    }
    parts.push(chunk.subarray(start));
  }
  yield Buffer.concat(parts).toString();
}

/** The object that a line holds, or undefined. */
export function parse(line) {
  try {
    const value = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
