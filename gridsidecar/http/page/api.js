// The one way to the server: /v1 below the page's own address, with the token, and with what is known already.
import { kept } from "./kept.js";

const BASE = new URL("v1/", document.baseURI);
const MOST_KNOWN = 40;
const known = new Map(); // URL and exact members → { tag, value }
const SAME = 2000; // milliseconds that a browser's clock may differ: the server tells whole seconds
let ahead = 0; // milliseconds that the server's clock is before this browser's
const keptToken = kept("token", "sessionStorage");
let token = keptToken.read() ?? "";

/** What a server refused, or that it was not there (status 0). */
export class Problem extends Error {
  constructor(status, told) {
    super(told?.detail ?? told?.title ?? "");
    this.status = status;
    this.told = told ?? {};
  }
}

/** Milliseconds since 1970 by the server's clock: this browser's may be wrong. */
export const now = () => Date.now() + ahead;

export const hasToken = () => token !== "";

export function useToken(given) {
  token = given;
  known.clear();
  keptToken.write(given);
}

/** A part of a path. A browser makes something else of `.` and `..`, whatever their coding. */
export function part(text) {
  if (text === "." || text === "..") throw new Problem(400, { detail: `A browser cannot ask for the name ${text}` });
  return encodeURIComponent(text.toWellFormed?.() ?? text);
}

/** The answer; the very same object where nothing changed. The members named in `exact` keep their numbers as they were written. */
export async function get(path, query, { signal, fresh, exact } = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of query ?? []) if (value !== "" && value !== null && value !== undefined) url.searchParams.append(name, value);
  const key = `${url.href} ${exact ?? ""}`; // the same answer is another value where numbers stay as they were written
  const before = known.get(key);
  const response = await ask(url, { signal, headers: before && !fresh ? { "If-None-Match": before.tag } : {} });
  if (response.status === 304) return before.value;
  const value = parse(await body(response), exact);
  const tag = response.headers.get("etag");
  if (tag) {
    known.delete(key);
    known.set(key, { tag, value });
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value);
  }
  return value;
}

export async function post(path, value = {}) {
  const headers = { "Content-Type": "application/json" };
  const response = await ask(new URL(path, BASE), { method: "POST", headers, body: JSON.stringify(value) });
  known.clear(); // what is asked for now is to be newer than this change
  return parse(await body(response));
}

/** Server-sent events as `[name, value]`, until their end. */
export async function* events(path, signal) {
  const response = await ask(new URL(path, BASE), { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.event) yield [fields.event, parse(fields.data)];
    }
  }
}

async function ask(url, { headers, ...options }) {
  if (/[^\x21-\xff]/.test(token)) throw new Problem(401, {}); // no header can hold it, so it is not the server's
  let response;
  try {
    const authorization = token ? { Authorization: `Bearer ${token}` } : {};
    response = await fetch(url, { ...options, cache: "no-store", headers: { ...headers, ...authorization } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {});
  }
  heard(Date.parse(response.headers.get("date")));
  if (response.ok || response.status === 304) return response;
  let told = {};
  try {
    told = JSON.parse(await body(response));
  } catch {
    // a proxy's page: its status has to do
  }
  throw new Problem(response.status, told);
}

function heard(date) {
  const differs = date - Date.now();
  if (!Number.isNaN(differs)) ahead = Math.abs(differs) > SAME ? differs : 0;
}

async function body(response) {
  try {
    return await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {});
  }
}

function parse(text, exact) {
  const value = JSON.parse(text);
  if (!exact || !JSON.rawJSON) return value;
  const asWritten = (_, one, context) =>
    typeof one === "number" && context?.source && String(one) !== context.source ? JSON.rawJSON(context.source) : one;
  const written = JSON.parse(text, asWritten);
  for (const name of exact) value[name] = written[name];
  return value;
}
