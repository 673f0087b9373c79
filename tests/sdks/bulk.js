// What a client does to many tasks, as one line of JSON: `node bulk.js URL TOKEN`.
import { ApiError, TaskClient } from "../../sdks/node/index.js";

const [url, token] = process.argv.slice(2);
const client = new TaskClient(url, { token });
const kind = (promise) => promise.then(() => null, (error) => (error instanceof ApiError ? error.kind : error.name));
const until = async (look) => {
  for (let found; ; ) {
    found = await look();
    if (found.length > 0) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};
const said = {};
const ids = [];
for (let at = 0; at < 3; at += 1) {
  ids.push(await client.submit({ task_type: "bad", callback_url: "http://127.0.0.1:9/x" }));
}
for (const id of ids) await client.wait(id, { timeoutSeconds: 60 });
const failed = { type: "bad", status: "failed" };
const found = await client.preview("retry", failed);
said.preview = [found.count, found.outcomes, found.tasks];
said.changed = await kind(client.retryMany(failed, { expectedCount: 2 }));
const [callback] = await until(() => client.callbacks({ taskId: ids[0], dead: true }));
said.callback = [await client.replayCallbacks(callback.id), await kind(client.replayCallbacks("nobody"))];
const [letter] = await until(() => client.deadLetters());
said.letters = [letter.task_status, await kind(client.deadLetter("nobody"))];
said.letters.push((await client.replayDead(["nobody"])).unknown, (await client.dropDead(["nobody"])).dropped);
await client.pause("bad", { reason: "a move" });
said.pauses = (await client.pauses()).map((one) => one.reason);
const steps = [];
const { operation } = await client.retryMany(failed, { expectedCount: 3 });
const done = await client.waitOperation(operation, { timeoutSeconds: 60, onProgress: (one) => steps.push(one.state) });
said.operation = [done.state, done.done, done.outcomes];
said.steps = steps.at(-1);
said.results = 0;
for await (const one of client.operationResults(operation)) said.results += one.outcome === "retried" ? 1 : 0;
said.operations = (await client.operations()).length;
said.stopped = await kind(client.stopOperation(operation));
await client.submit({ task_id: "later", task_type: "other", defer_by: 3000 });
await until(async () => (await client.stats()).tasks.filter((one) => one.task_type === "other"));
const cancel = await client.cancelMany({ type: "other" }, { expectedCount: 1 });
said.cancelled = (await client.waitOperation(cancel.operation, { timeoutSeconds: 60 })).outcomes;
await client.resume("bad");
said.resumed = await kind(client.resume("bad"));
said.queue = (await client.queues())[0].queue;
said.alive = (await client.workers()).map((one) => one.alive);
await client.replayDeadCallbacks();
said.dropped = [await client.dropDeadCallbacks() >= 0, await kind(client.dropCallbacks("nobody")), await kind(client.callback("nobody"))];
console.log(JSON.stringify(said));
