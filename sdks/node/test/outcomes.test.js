import assert from "node:assert/strict";
import { test } from "node:test";
import { handle, task } from "./handler.js";

const end = (source, fields, run) => {
  const done = handle(source, [task(fields, run)]);
  return { ...done, last: done.events.at(-1) };
};

test("what a handler returns is the result", () => {
  for (const [returned, result] of [
    ["{ a: [1, 'é'] }", { a: [1, "é"] }],
    ["undefined", null],
    ["0", 0],
    ["'[{'.repeat(99)", "[{".repeat(99)],
    ["new Date(0)", "1970-01-01T00:00:00.000Z"],
    ["'half \\ud800, whole \\u{1d11e}, typed \\\\ud800'", "half \ufffd, whole \u{1d11e}, typed \\ud800"],
  ]) {
    const { code, events } = end(`await run(() => (${returned}))`);
    assert.equal(code, 0);
    assert.deepEqual(events, [{ gs: 1, type: "result", result, task_id: "t1" }]);
  }
});

test("what is no JSON is an error that says so, and no retry", () => {
  for (const [returned, type, words] of [
    ["({ n: 1n })", "TypeError", /BigInt/],
    ["(() => { const a = {}; a.a = a; return a })()", "TypeError", /circular/],
    ["[1, NaN]", "TypeError", /JSON has no NaN/],
    ["JSON.parse('['.repeat(100) + ']'.repeat(100))", "RangeError", /deeper than 100/],
    ["() => 1", "TypeError", /a function/],
    ["'x'.repeat(5e6)", "RangeError", /more than the 4 MiB/],
    ["({ toJSON() { throw new SyntaxError('not me') } })", "SyntaxError", /not me/],
  ]) {
    const { code, last } = end(`await run(() => ${returned})`);
    assert.equal(code, 65);
    assert.equal(last.type, "error");
    assert.equal(last.error_type, type);
    assert.equal(last.retryable, false);
    assert.match(last.error, words);
  }
});

test("what a handler throws is the error", () => {
  for (const [thrown, code, wanted] of [
    ["new RangeError('it broke')", 1, { error: "it broke", error_type: "RangeError" }],
    ["new Error('')", 1, { error: "Error", error_type: "Error" }],
    ["new Error('x'.repeat(5e6))", 1, { error: "x".repeat(65536) }],
    ["'a string'", 1, { error: "a string", error_type: "Error" }],
    ["null", 1, { error: "null", error_type: "Error" }],
    ["{ code: 5 }", 1, { error: '{"code":5}', error_type: "Error" }],
    ["new Proxy({}, { getPrototypeOf() { throw 1 } })", 1, { error_type: "Error" }],
    ["new Retry()", 75, { error_type: "Retry", retryable: true }],
    ["new Retry({ afterSeconds: 30 })", 75, { retryable: true, retry_after_s: 30 }],
    ["new Retry('429', { afterSeconds: 0, type: 'Rate' })", 75, { error: "429", error_type: "Rate", retry_after_s: 0 }],
    ["new Retry({ cause: new TypeError('down') })", 75, { error: "down", error_type: "TypeError" }],
    ["new Permanent('bad')", 65, { error: "bad", error_type: "Permanent", retryable: false }],
    ["new Retry('x', { afterSeconds: -1 })", 1, { error_type: "RangeError" }],
  ]) {
    const done = end(`await run(async () => { throw ${thrown} })`);
    assert.equal(done.code, code, thrown);
    assert.equal(done.events.length, 1, thrown);
    assert.deepEqual({ ...done.last, ...wanted }, done.last, thrown);
  }
});

test("a traceback holds the stack and its causes", () => {
  const { last } = end("await run(() => { throw new Error('outer', { cause: new Error('inner') }) })");
  assert.match(last.traceback, /^Error: outer\n    at .*\n[^]*caused by: Error: inner\n    at /);
});

test("an exception outside the handler's promise is the error too", () => {
  for (const stray of ["setTimeout(() => { throw new RangeError('stray') })", "Promise.reject(new RangeError('stray'))"]) {
    const done = end(`await run(() => { ${stray}; return new Promise((done) => setTimeout(done, 30_000)) })`);
    assert.equal(done.code, 1);
    assert.equal(done.last.error, "stray");
    assert.equal(done.last.error_type, "RangeError");
    assert.match(done.err, /RangeError: stray/);
  }
});

test("a promise that nothing will settle is an error", () => {
  for (const call of ["await run", "run"]) {
    const done = end(`${call}(() => new Promise(() => {}))`);
    assert.equal(done.code, 1);
    assert.match(done.last.error, /never finished/);
  }
});

test("open handles do not hold the process, and its output is whole", () => {
  const done = end("setInterval(() => {}, 1000); await run(() => { console.log('x'.repeat(1e6)) })");
  assert.equal(done.code, 0);
  assert.equal(done.out.length, 1e6 + 1);
});

test("handlers by task type", () => {
  const source = "await run({ resize: () => 'resized', default: () => 'other' })";
  assert.equal(end(source).last.result, "resized");
  assert.equal(end(source, { task_type: "crop" }).last.result, "other");
  assert.equal(end(source, { task_type: "toString" }).last.result, "other");
  const unknown = end("await run({ resize: () => 1 })", { task_type: "crop" }).last;
  assert.equal(unknown.error, "no handler for task type crop; there are resize");
  assert.equal(unknown.retryable, false);
});

test("what run() cannot serve is told at once", () => {
  for (const handlers of ["", "{}", "{ a: 1 }", "'a'"]) {
    assert.match(handle(`await run(${handlers})`, []).err, /takes a function, or an object/);
  }
  assert.match(handle("run(() => 1); await run(() => 2)", [task()]).err, /may be called once/);
});

test("input that is no task is told", () => {
  for (const input of ["", "{}\n", "[1]\n", "no JSON"]) {
    const { code, events } = handle("await run(() => 1)", [input]);
    assert.equal(code, 65);
    assert.match(events[0].error, /input: task/);
  }
});
