// Tells the language of data.text by its commonest words: what is slow to load is loaded once, for many tasks.
import { Permanent, run } from "../../sdks/node/index.js";

const COMMON = { en: "the of and to in is", de: "der die und in den ist", fr: "le la et les des est" };
const languages = Object.entries(COMMON).map(([name, words]) => [name, new Set(words.split(" "))]);

await run({
  default(task) {
    if (typeof task.data?.text !== "string") throw new Permanent("data.text must be a text", { type: "BadInput" });
    const words = task.data.text.toLowerCase().split(/\P{L}+/u);
    const hits = languages.map(([name, common]) => [words.filter((word) => common.has(word)).length, name]);
    const [count, language] = hits.sort(([a], [b]) => b - a)[0];
    return { language: count > 0 ? language : null };
  },
});
