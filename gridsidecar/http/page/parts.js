// What several views show in the same way.
import { fill, h, plain, said } from "./dom.js";
import { number, time } from "./format.js";
import { link } from "./router.js";
import { explained } from "./tell.js";
import { t } from "./words.js";

export const STATUSES = ["pending", "running", "retrying", "success", "failed", "cancelled"];
export const SPANS = { "1h": 3600, "24h": 86400, "7d": 604800 };

export function badge(status) {
  const known = STATUSES.includes(status);
  return h(`span.badge${known ? `.${status}` : ""}`, null, known ? t(`status.${status}`) : plain(status, 40));
}

export const taskLink = (id) => h("a.id", { href: link("task", id), title: plain(id, 300) }, h("bdi", null, plain(id, 80)));

export const typeLink = (type, more = []) => h("a", { href: link("tasks", "", [["type", type], ...more]) }, said(type, 60));

/** A bar with its number; a task that runs and says nothing of progress has an empty one. */
export function progress(task) {
  const value = task.progress ?? 0;
  return h("span.progress", null, h("progress", { max: "100", value: String(value), "aria-label": t("task.progress") }), h("span.number", null, `${number(value)} %`));
}

/** Buttons of which one is on. */
export function choice(label, options, chosen, choose) {
  return h(
    "div.choice",
    { role: "group", "aria-label": label },
    options.map(([value, words]) => h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: (event) => pick(event, value, choose) }, words)),
  );
}

function pick(event, value, choose) {
  for (const button of event.target.parentElement.children) button.setAttribute("aria-pressed", String(button === event.target));
  choose(value);
}

export const spans = (chosen, choose) => choice(t("span.label"), Object.keys(SPANS).map((span) => [span, t(`span.${span}`)]), chosen, choose);

/** A button that opens a row below its own, with what is read for it then. */
export function opener(width, read) {
  const inside = h("td", { colspan: String(width) });
  const second = h("tr.inside", null, inside);
  const button = h("button.small", { "aria-expanded": "false", onclick: toggle }, t("letters.show"));
  async function toggle() {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    if (!open) {
      second.remove();
      return;
    }
    button.closest("tr").after(second);
    try {
      fill(inside, await read());
    } catch (problem) {
      fill(inside, h("p.bad", null, explained(problem)));
    }
  }
  return button;
}

export const empty = (words, ...more) => h("div.empty", null, h("p", null, words), more);

export const card = (title, ...content) => h("section.card", null, title ? h("h2", null, title) : null, content);

/** Until when, why and by whom a type is paused. */
export function pausedBy(pause) {
  const who = pause.cool_down === null || pause.cool_down === undefined ? t("pause.by_hand") : t("pause.by_breaker");
  return [h("span.badge.paused", null, who), " ", pause.until_at ? [t("pause.until"), " ", time(pause.until_at)] : t("pause.until_resumed"), pause.reason ? [" · ", said(pause.reason, 160)] : null];
}
