// Counts how often each word of data.text occurs: one process for each task.
import { Permanent, run } from "../../sdks/node/index.js";

await run((task, ctx) => {
  const { text } = task.data ?? {};
  if (typeof text !== "string") throw new Permanent("data.text must be a text", { type: "BadInput" });
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  ctx.progress(50, "split");
  const counts = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return { words: words.length, counts };
});
