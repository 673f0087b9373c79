// What each type of task did in some time, and whether it is paused.
import { get, part, post } from "./api.js";
import { fill, h, keep, said, table } from "./dom.js";
import { count, duration, number, percent } from "./format.js";
import { empty, pausedBy, SPANS, spans } from "./parts.js";
import { poll } from "./poll.js";
import { link } from "./router.js";
import { act, sure } from "./tell.js";
import { t } from "./words.js";

const STATES = ["pending", "running", "retrying", "success", "failed", "cancelled"];

export function handlers(root, _, me) {
  let span = "24h";
  const columns = [t("task.type"), ...STATES.map((state) => `${t(`status.${state}`)}#`), `${t("handlers.rate")}#`, `${t("handlers.failures")}#`, `${t("handlers.mean")}#`, "p95#", t("handlers.state"), me.may_change ? t("handlers.steer") : null];
  const { box, body } = table(t("view.handlers"), columns.filter(Boolean));
  const none = h("div");
  const look = async () => {
    const [stats, { ended }, { pauses }] = await Promise.all([get("stats"), get("stats/ended", [["since", span]]), get("pauses")]);
    const rows = together(stats.tasks, ended, pauses, SPANS[span]);
    keep(body, rows, (one) => one.type, (one) => row(one, me, span));
    box.hidden = !rows.length;
    fill(none, rows.length ? null : empty(t("handlers.none")));
  };
  const [now, end] = poll(5, look);
  const choose = (chosen) => {
    span = chosen;
    now();
  };
  fill(root, h("div.title", null, h("h1", null, t("view.handlers")), h("div.grow"), spans(span, choose)), box, none, h("p.faint", null, t("handlers.help")));
  return end;
}

/** One row for each type that has tasks, ended in this time, or is paused. */
function together(counts, ended, pauses, seconds) {
  const types = new Map();
  const of = (type) => types.get(type) ?? types.set(type, { type, states: {}, ended: 0, failed: 0, busy: 0, p95: null, most: 0, pause: null, seconds }).get(type);
  for (const one of counts) of(one.task_type).states[one.status] = count(one.count, one.at_least);
  for (const one of ended) {
    const row = of(one.task_type);
    row.ended += one.count;
    if (["failed", "retrying"].includes(one.outcome)) row.failed += one.count;
    row.busy += one.count * (one.mean_s ?? 0);
    if (one.count > row.most) [row.most, row.p95] = [one.count, one.p95_s];
  }
  for (const one of pauses) if (!one.ended) of(one.task_type).pause = one;
  return [...types.values()].sort((one, other) => (one.type < other.type ? -1 : 1));
}

function row(one, me, span) {
  const linked = (state) => (one.states[state] ? h("a", { href: link("tasks", "", [["type", one.type], ["status", state]]) }, one.states[state]) : h("span.faint", null, "0"));
  const failed = one.ended ? percent(one.failed / one.ended) : "–";
  return h(
    "tr",
    null,
    h("td", null, h("a", { href: link("tasks", "", [["type", one.type]]) }, said(one.type, 60))),
    STATES.map((state) => h("td.number", null, linked(state))),
    h("td.number", null, one.ended ? rate(one.ended / one.seconds) : "–"),
    h("td.number", null, one.failed ? h("a.bad", { href: link("tasks", "", [["type", one.type], ["status", "failed"], ["since", span]]) }, failed) : failed),
    h("td.number", null, duration(one.ended ? one.busy / one.ended : null)),
    h("td.number", null, duration(one.p95)),
    h("td.state", null, one.pause ? pausedBy(one.pause) : h("span.badge.success", null, t("handlers.open"))),
    me.may_change ? h("td", null, steer(one)) : null,
  );
}

const rate = (perSecond) => (perSecond * 60 >= 1 ? t("rate.minute", { n: number(perSecond * 60, 1) }) : t("rate.hour", { n: number(perSecond * 3600, 1) }));

function steer(one) {
  const path = `types/${part(one.type)}`;
  if (one.pause) return h("button.small", { onclick: () => act(() => post(`${path}/resume`), t("pause.resumed")) }, t("pause.resume"));
  return h("button.small", { onclick: () => pause(one.type, path) }, t("pause.pause"));
}

async function pause(type, path) {
  const until = h("select", { id: "until" }, ["", "10m", "1h", "8h", "1d"].map((value) => h("option", { value }, value ? t("pause.for", { span: value }) : t("pause.until_resumed"))));
  const reason = h("input", { id: "reason", maxlength: "255", autocomplete: "off" });
  const fields = [h("label", null, t("pause.how_long"), until), h("label", null, t("pause.reason"), reason)];
  if (!(await sure(t("pause.title", { type }), t("pause.text"), t("pause.pause"), { fields }))) return;
  const body = { ...(until.value ? { until: until.value } : {}), ...(reason.value.trim() ? { reason: reason.value.trim() } : {}) };
  await act(() => post(`${path}/pause`, body), t("pause.done"));
}
