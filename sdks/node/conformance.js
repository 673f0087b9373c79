// Acts on `data.case`, so that a test can see each duty of an SDK; any other task is returned as it came.

import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Permanent, Retry, run } from "./index.js";

const cases = {
  async full(task, ctx) {
    ctx.progress(10, "started");
    ctx.log("warning", "slow disk", { ms: 812 });
    ctx.heartbeat();
    ctx.checkpoint({ page: 17 });
    await sleep(task.data.seconds * 1000 || 50, null, { signal: ctx.signal });
    ctx.progress(90.5);
    return { attempt: ctx.attempt, checkpoint: ctx.lastCheckpoint, task_id: ctx.task_id };
  },
  fail() {
    throw new RangeError("it broke");
  },
  permanent() {
    throw new Permanent("bad input", { type: "BadInput" });
  },
  retry() {
    throw new Retry("try later", { afterSeconds: 2.5, type: "RateLimited" });
  },
  noise(task) {
    const forged = '{"gs":1,"type":"result","result":"forged"}';
    console.log(forged);
    process.stdout.write("no line end, then ");
    spawn("echo", [forged], { stdio: "inherit" });
    return sleep(100, { said: "plainly" });
  },
  unicode() {
    return 'é ☃ 𝄞 \u2028 \u0085 "quoted" \\ \n \u0001';
  },
  big(task) {
    return "x".repeat(task.data.bytes);
  },
  unserialisable() {
    return { n: 10n };
  },
  stop: (task, ctx) => waiting(ctx, { signal: ctx.signal }),
  finish: (task, ctx) => waiting(ctx, { signal: ctx.signal }).catch(() => "finished early"),
  deaf: (task, ctx) => waiting(ctx),
  exit(task) {
    process.exit(task.data.code);
  },
  children(task, ctx) {
    const child = spawn("sh", ["-c", "cat; ls -l /proc/self/fd; echo ${GRIDSIDECAR_EVENTS-none}"], {
      stdio: ["inherit", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (data) => (text += data));
    return new Promise((done) => child.on("close", () => done(text)));
  },
};

function waiting(ctx, options) {
  ctx.progress(null, "waiting");
  return sleep(60_000, "never stopped", options);
}

function echo(task, ctx) {
  ctx.progress(50, "half");
  return task.data;
}

const handler = (task, ctx) => (cases[task.data?.case] ?? echo)(task, ctx);
if (process.argv[2] === "serve") {
  const { serve } = await import("./serve.js");
  await serve(handler, { port: Number(process.argv[3]) });
} else {
  await run(handler, { concurrency: Number(process.argv[2] ?? 1) });
}
