// A handler that has so many tasks at once and waits for so many seconds in each: `many.js 64 0.02`.

import { setTimeout as sleep } from "node:timers/promises";
import { run } from "../../sdks/node/index.js";

const [atOnce, pause] = process.argv.slice(2).map(Number);

await run(async (task, ctx) => (pause ? sleep(1000 * pause, null, { signal: ctx.signal }) : null), {
  concurrency: atOnce,
});
