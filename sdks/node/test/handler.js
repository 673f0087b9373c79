// A handler as its sidecar runs it: a process, with its events in a file.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const sdk = new URL("../index.js", import.meta.url).href;
const THROUGH_PIPES = 'cat | { "$@" 2>&3 | cat >"$0/out"; exit "${PIPESTATUS[0]}"; } 3>"$0/err"';

/** Run a module's source with these messages on stdin; without `pipe`, events come on stdout. */
export function handle(source, messages, { mode = "oneshot", pipe = true, env = {} } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gridsidecar-sdk-"));
  const events = path.join(folder, "events");
  try {
    const module = `import { run, Retry, Permanent } from ${JSON.stringify(sdk)};\n${source}`;
    // Through a shell, because Node itself gives its children sockets in place of pipes.
    const done = spawnSync("bash", ["-c", THROUGH_PIPES, folder, process.execPath, "--input-type=module", "-e", module], {
      input: messages.map((message) => (typeof message === "string" ? message : `${JSON.stringify(message)}\n`)).join(""),
      timeout: 60_000,
      env: {
        PATH: process.env.PATH,
        GRIDSIDECAR: "1",
        GRIDSIDECAR_MODE: mode,
        ...(pipe ? { GRIDSIDECAR_EVENTS: events } : {}),
        ...env,
      },
    });
    const read = (name) => fs.readFileSync(path.join(folder, name), "utf8");
    const text = pipe && fs.existsSync(events) ? read("events") : "";
    const lines = text.split("\n").filter(Boolean);
    return { code: done.status, out: read("out"), err: read("err"), events: lines.map((line) => JSON.parse(line)) };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

export function task(fields = {}, run = {}) {
  return { gs: 1, type: "task", task_id: "t1", task_type: "resize", data: {}, ...fields, run: { attempt: 1, ...run } };
}
