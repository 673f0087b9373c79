import assert from "node:assert/strict";
import { test } from "node:test";
import { handle, task } from "./handler.js";

const events = (body, fields, run) =>
  handle(`await run(async (task, ctx) => { ${body} })`, [task(fields, run)])
    .events.slice(0, -1)
    .map(({ gs, task_id, ...event }) => {
      assert.equal(gs, 1);
      assert.equal(task_id, "t1");
      return event;
    });

test("progress never fails a task", () => {
  assert.deepEqual(
    events(`ctx.progress(40, "2 of 5"); ctx.progress(100.0001); ctx.progress(-1); ctx.progress(0 / 0, "?");
            ctx.progress(null, "only words")`),
    [
      { type: "progress", progress: 40, progress_message: "2 of 5" },
      { type: "progress", progress: 100 },
      { type: "progress", progress: 0 },
      { type: "progress", progress_message: "?" },
      { type: "progress", progress_message: "only words" },
    ],
  );
});

test("neither does a log line", () => {
  const [plain, level, odd] = events(`ctx.log("info", "a\\nb", { ms: 1 }); ctx.log("warn", 5); ctx.log("info", "x", { n: 1n })`);
  assert.deepEqual(plain, { type: "log", level: "info", message: "a\nb", fields: { ms: 1 } });
  assert.deepEqual(level, { type: "log", level: "warning", message: "5" });
  assert.deepEqual(odd, { type: "log", level: "info", message: "x", fields: { fields: "{ n: 1n }" } });
});

test("checkpoints go out and come back", () => {
  assert.deepEqual(events("ctx.checkpoint({ page: ctx.lastCheckpoint.page + ctx.attempt })", {}, { attempt: 2, checkpoint: { page: 5 } }), [
    { type: "checkpoint", data: { page: 7 } },
  ]);
  assert.deepEqual(events("ctx.heartbeat(); ctx.checkpoint(ctx.lastCheckpoint)"), [
    { type: "heartbeat" },
    { type: "checkpoint", data: null },
  ]);
  for (const [data, words] of [["1n", /BigInt/], ["'x'.repeat(65536)", /64 KiB/]]) {
    const { events: [refused] } = handle(`await run((task, ctx) => ctx.checkpoint(${data}))`, [task()]);
    assert.match(refused.error, words);
  }
});

test("nothing goes out after the end", () => {
  const done = handle(
    `let late; await run(async (task, ctx) => { if (late) { late(); } late = () => ctx.progress(99); return task.task_id })`,
    [task(), task({ task_id: "t2" })],
    { mode: "persistent" },
  );
  assert.deepEqual(done.events.map((event) => event.type), ["ready", "result", "result"]);
});

test("without a pipe, events are on stdout and all else on stderr", () => {
  const done = handle(
    `import { spawnSync } from "node:child_process";
     await run(() => {
       process.stdout.write("no line end");
       spawnSync("echo", ["from a child"], { stdio: "inherit" });
       return "x".repeat(1e6);
     })`,
    [task()],
    { pipe: false },
  );
  assert.equal(done.code, 0);
  assert.deepEqual(JSON.parse(done.out), { gs: 1, type: "result", result: "x".repeat(1e6), task_id: "t1" });
  assert.match(done.err, /no line end[^]*from a child/);
});

test("a pipe that cannot be opened means stdout", () => {
  const done = handle("await run(() => 5)", [task()], { pipe: false, env: { GRIDSIDECAR_EVENTS: "/nowhere/events" } });
  assert.equal(JSON.parse(done.out).result, 5);
});

test("children hear of neither the pipe nor the tasks", () => {
  const source = `import { execFileSync } from "node:child_process";
    await run(() => execFileSync("sh", ["-c", "cat; echo \${GRIDSIDECAR_EVENTS-none}"], { stdio: ["inherit", "pipe", "inherit"] }).toString())`;
  const done = handle(source, [task(), task({ task_id: "t2" })], { mode: "persistent" });
  assert.deepEqual(done.events.map((event) => event.result), [undefined, "none\n", "none\n"]);
});

test("persistent: ready, then tasks in order, an error is not the end, and EOF is", () => {
  const done = handle(
    "await run((task) => { if (task.data.bad) throw new Error('bad'); return task.data.text?.length })",
    [
      task({ data: { text: "x".repeat(3e6) } }),
      "no JSON\n",
      { gs: 1, type: "something.new" },
      task({ task_id: "t2", data: { bad: true } }),
      { gs: 1, type: "cancel", task_id: "somebody else's" },
      JSON.stringify(task({ task_id: "t3" })), // without a line end
    ],
    { mode: "persistent" },
  );
  assert.equal(done.code, 0);
  const [ready, ...rest] = done.events;
  assert.deepEqual(ready, { gs: 1, type: "ready", sdk: "node/0.2.0", capabilities: ["cancel"] });
  assert.deepEqual(rest.map(({ task_id, type, result }) => [task_id, type, result]), [
    ["t1", "result", 3e6],
    ["t2", "error", undefined],
    ["t3", "result", null],
  ]);
});
