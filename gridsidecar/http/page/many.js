// Cancelling and retrying all tasks that a filter names: counted first, then a stored operation that is followed.
import { get, part, post } from "./api.js";
import { fill, h } from "./dom.js";
import { number } from "./format.js";
import { isStopped } from "./poll.js";
import { act, explained, sure, toast } from "./tell.js";
import { t } from "./words.js";

const POSSIBLE = { cancel: ["pending", "retrying", "running"], retry: ["failed", "cancelled"] };
const FOLLOW = 700; // milliseconds
const OVER = ["", "1m", "10m", "1h", "6h"];

/** The buttons for what can be done to this filter. */
export function many(filter, place) {
  const names = filter.map(([name]) => name);
  const statuses = filter.filter(([name]) => name === "status").map(([, value]) => value);
  if (names.includes("queue") || names.includes("id_prefix") || names.filter((name) => name === "type").length > 1) return h("p.faint", null, t("many.not_this"));
  const kinds = ["retry", "cancel"].filter((kind) => statuses.every((status) => POSSIBLE[kind].includes(status)));
  return h("div.buttons", null, kinds.map((kind) => h("button", { id: `all-${kind}`, onclick: () => begin(kind, meant(filter, statuses), place) }, t(`many.${kind}`))));
}

function meant(filter, statuses) {
  const asked = Object.fromEntries(filter.filter(([name]) => name !== "status"));
  if (statuses.length) asked.status = statuses;
  return Object.keys(asked).length ? asked : { all: true };
}

async function begin(kind, filter, place) {
  let count;
  try {
    ({ count } = await post(`tasks/${kind}`, { filter, dry_run: true }));
  } catch (problem) {
    toast(explained(problem), true);
    return;
  }
  if (!count) {
    toast(t(`many.${kind}_none`));
    return;
  }
  const over = h("select", { id: "over" }, OVER.map((value) => h("option", { value }, value ? t("many.over", { span: value }) : t("many.at_once"))));
  const fields = kind === "retry" ? [h("label", null, t("many.spread"), over)] : [];
  if (!(await sure(t(`many.${kind}_title`, { n: number(count) }), t(`many.${kind}_text`), t(`many.${kind}_do`, { n: number(count) }), { fields, danger: kind === "cancel" }))) return;
  const body = { filter, expected_count: count, ...(kind === "retry" && over.value ? { over: over.value } : {}) };
  const begun = await act(() => post(`tasks/${kind}`, body), t("many.begun"));
  if (begun) follow(begun.operation, place);
}

/** How far it is, until it ends. It goes on without us. */
async function follow(operation, place) {
  const bar = h("progress", { max: "1", value: "0", "aria-label": t("many.progress") });
  const words = h("span");
  const stop = h("button.small", { onclick: () => act(() => post(`operations/${part(operation)}/stop`), t("many.stopped")) }, t("many.stop"));
  const line = h("div.card.operation", { role: "status" }, bar, words, stop);
  place.append(line);
  for (let failures = 0; ; ) {
    let told;
    try {
      if (!document.hidden && !isStopped()) told = await get(`operations/${part(operation)}`, [["limit", 0]], { fresh: true });
    } catch (problem) {
      failures += 1;
      fill(words, explained(problem));
    }
    if (told) {
      failures = 0;
      bar.max = Math.max(1, told.tasks);
      bar.value = told.done;
      fill(words, t(`many.${told.kind}_state`, { done: number(told.done), n: number(told.tasks) }), outcomes(told.outcomes));
      if (["ended", "count_changed"].includes(told.state)) {
        if (told.state === "ended") bar.value = bar.max;
        else words.append(` ${t("many.changed")}`);
        stop.replaceWith(h("button.small", { onclick: () => line.remove() }, t("dialog.close")));
        document.dispatchEvent(new Event("changed"));
        return;
      }
    }
    if (!line.isConnected) return;
    await new Promise((resolve) => setTimeout(resolve, FOLLOW * 2 ** Math.min(failures, 5)));
  }
}

function outcomes(counts) {
  return Object.entries(counts).filter(([name]) => name !== "open").map(([name, n]) => h("span.faint", null, ` · ${number(n)} ${name}`));
}
