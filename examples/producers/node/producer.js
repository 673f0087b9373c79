// Sends one task with amqplib, and prints its id.
import { randomUUID } from "node:crypto";
import amqp from "amqplib";

const url = process.env.GRID_ASYNC_TASK_AMQP_URL ?? "amqp://guest:guest@localhost/%2F";
const queue = process.env.GRID_ASYNC_TASK_QUEUE ?? "task_queue";
const task = { task_id: `node-${randomUUID()}`, data: { text: "to be or not to be" }, max_retry_count: 3 };

setTimeout(() => { throw new Error("RabbitMQ did not answer within 30 s"); }, 30_000).unref(); // for all of it
const connection = await amqp.connect(url, { timeout: 15_000 });
const channel = await connection.createConfirmChannel();
let returned = false;
channel.on("return", () => (returned = true)); // there is no such queue

channel.publish("", queue, Buffer.from(JSON.stringify(task)), {
  persistent: true,
  mandatory: true,
  contentType: "application/json",
  messageId: task.task_id,
});
await channel.waitForConfirms(); // rejects where the broker did not take it
if (returned) throw new Error(`there is no queue ${queue}; the sidecar makes it when it starts`);
console.log(task.task_id);
await connection.close();
