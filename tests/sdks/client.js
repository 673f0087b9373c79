// A client's whole day, as one line of JSON: `node client.js URL TOKEN`.
import { ApiError, TaskClient, Unreachable } from "../../sdks/node/index.js";

const [url, token] = process.argv.slice(2);
const client = new TaskClient(`${url}/`, { token });
const kind = (promise) => promise.then(() => null, (error) => (error instanceof ApiError ? error.kind : error.name));
const said = {};
const steps = [];
await client.submit({ task_id: "a/ä", data: { n: 1 } });
said.task = await client.wait("a/ä", { timeoutSeconds: 60, onProgress: (task) => steps.push(task.status) });
said.again = await client.submit({ task_id: "a/ä", data: { n: 1 } });
said.other = await kind(client.submit({ task_id: "a/ä", data: { n: 2 } }));
said.retried = await kind(client.retry("a/ä"));
said.unknown = await kind(client.status("nobody"));
said.noted = await client.cancel("later");
said.late = await kind(client.wait("nobody", { timeoutSeconds: 0.3 }));
said.logs = await client.logs("a/ä");
said.listed = [];
for await (const task of client.tasks({ status: ["success", "cancelled"] })) said.listed.push(task.task_id);
said.stats = (await client.stats()).statuses;
said.steps = steps.at(-1);
said.made = (await client.submit({ data: 1 })).length > 30;
said.wrong_token = await kind(new TaskClient(url, { token: "x" }).status("a"));
said.nobody = await new TaskClient("http://127.0.0.1:9").status("a").catch((error) => error instanceof Unreachable);
console.log(JSON.stringify(said));
