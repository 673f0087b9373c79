// Tasks by a filter that lives in the address; what is done to many of them is done to exactly that filter.
import { get, now } from "./api.js";
import { fill, h, keep, said, table } from "./dom.js";
import { between, duration, listed, local, number, zoned } from "./format.js";
import { many } from "./many.js";
import { badge, empty, progress, STATUSES, taskLink, typeLink } from "./parts.js";
import { poll } from "./poll.js";
import { go, link } from "./router.js";
import { t } from "./words.js";

const PAGE = 50;
const TEXTS = ["type", "error_type", "queue", "id_prefix"];
const KNOWN = { type: "task_type", error_type: "error_type" }; // those that the API can list, and their names there
const TIMES = ["15m", "1h", "24h", "7d", "30d"];
const SPAN = /^(\d+(?:\.\d+)?) *([smhdw])$/; // as the API takes it
const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }; // milliseconds
const RANGE = "range";

export function tasks(root, { query }, me) {
  const filter = [...query].filter(([name]) => [...TEXTS, "status", "since", "until"].includes(name));
  const caption = t("view.tasks");
  const columns = [t("task.status"), t("task.id"), t("task.type"), t("task.what"), `${t("task.attempt")}#`, zoned(t("task.created")), `${t("task.took")}#`];
  const { box, body } = table(caption, columns);
  const below = h("div.pages");
  const operations = h("div");
  fill(root, h("div.title", null, h("h1", null, caption), h("div.grow"), me.may_change ? many(filter, operations) : null), filters(query), operations, box, below);
  const [, end] = poll(3, async () => {
    const page = await get("tasks", [...filter, ["cursor", query.get("cursor")], ["limit", PAGE]]);
    keep(body, page.tasks, (task) => task.task_id, row);
    box.hidden = !page.tasks.length;
    fill(below, page.tasks.length ? null : nothing(filter, page.next), paging(filter, query.get("cursor"), page.next));
  });
  return end;
}

function row(task) {
  const running = task.status === "running";
  const took = task.started_at ? duration(between(task.started_at, running ? null : task.completed_at ?? task.updated_at)) : "–";
  return h(
    "tr",
    null,
    h("td", null, badge(task.status), task.paused ? [" ", h("span.badge.paused", null, t("pause.paused"))] : null),
    h("td", null, taskLink(task.task_id)),
    h("td", null, typeLink(task.task_type)),
    h("td.what", null, what(task)),
    h("td.number", null, number(task.attempt)),
    h("td.number.left", null, listed(task.created_at)),
    h("td.number", null, took),
  );
}

/** What is to be said of a task in one line. */
function what(task) {
  const line = h("div.line");
  if (task.status === "running") line.append(progress(task));
  if (task.cancel_requested && task.status === "running") line.append(h("span.badge.cancelled", null, t("task.cancelling")));
  const type = task.last_error_type ?? task.error_type; // what went wrong, rather than that all retries are used up
  if (type && task.status !== "success") line.append(h(task.status === "cancelled" ? "a.faint" : "a.bad", { href: link("tasks", "", [["error_type", type]]) }, said(type, 60)));
  const words = ["failed", "retrying"].includes(task.status) ? task.error_message : task.progress_message;
  if (words) line.append(h("span.faint", null, said(words, 200)));
  return line;
}

function filters(query) {
  const change = (given) => {
    const kept = [...query].filter(([name]) => !(name in given) && name !== "cursor");
    go("tasks", "", [...kept, ...Object.entries(given).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))]);
  };
  const chosen = query.getAll("status");
  const statuses = STATUSES.map((status) => {
    const on = chosen.includes(status);
    const then = on ? chosen.filter((one) => one !== status) : [...chosen, status];
    return h(`button.chip.${status}`, { type: "button", id: `status-${status}`, "aria-pressed": String(on), onclick: () => change({ status: then }) }, t(`status.${status}`));
  });
  const texts = TEXTS.map((name) => {
    const known = name in KNOWN ? h("datalist", { id: `known-${name}` }) : null;
    return h("label", null, t(`filter.${name}`), known,
      h("input", { name, list: known?.id, value: query.get(name) ?? "", spellcheck: "false", autocomplete: "off", onfocus: () => known && offer(known, KNOWN[name]), onchange: (event) => change({ [name]: event.target.value.trim() }) }));
  });
  return h("form.filters", { role: "search", "aria-label": t("filter.label"), onsubmit: (event) => event.preventDefault() },
    h("div.chips", { role: "group", "aria-label": t("task.status") }, statuses), texts, created(query, change), h("a.button.small", { href: "#/tasks" }, t("filter.clear")));
}

/** What there is to choose from, asked for once somebody is about to; whoever knows better writes it. */
async function offer(list, field) {
  try {
    const [{ tasks: counts }, { ended }] = await Promise.all([get("stats"), get("stats/ended", [["since", "7d"]])]);
    const found = [...counts, ...ended].map((one) => one[field]).filter(Boolean);
    fill(list, [...new Set(found)].sort().map((value) => h("option", { value })));
  } catch {
    // it is written, then
  }
}

/** When tasks were created: some time back from now, or between two moments. */
function created(query, change) {
  const [from, to] = ["since", "until"].map((name) => query.get(name) ?? "");
  const back = !to && (from === "" || SPAN.test(from));
  const known = !back || from === "" || TIMES.includes(from) ? TIMES : [...TIMES, from];
  const option = (value, words) => h("option", { value, selected: value === (back ? from : RANGE) }, words);
  const choose = ({ target: { value } }) => change({ since: value === RANGE ? moment("24h") : value, until: "" });
  const select = h("select", { name: "since", onchange: choose }, option("", t("filter.any_time")), known.map((value) => option(value, t("filter.last", { span: value }))), option(RANGE, t("filter.range")));
  return [h("label", null, t("filter.since"), select), back ? null : range(from, to, change)];
}

/** A span is so long ago. */
function moment(text) {
  const [, count, unit] = SPAN.exec(text) ?? [];
  return count ? new Date(now() - count * UNITS[unit]).toISOString() : text;
}

function range(from, to, change) {
  const field = (name, value) => h("input", { type: "datetime-local", name, value: local(moment(value)), onkeydown: (event) => event.key === "Enter" && show() });
  const [first, last] = [field("from", from), field("to", to)];
  const show = () => change({ since: first.value && new Date(first.value).toISOString(), until: last.value && new Date(last.value).toISOString() });
  return [h("label", null, zoned(t("filter.from")), first), h("label", null, zoned(t("filter.to")), last), h("button", { type: "button", id: "range", onclick: show }, t("filter.show"))];
}

function nothing(filter, next) {
  if (next) return empty(t("tasks.none_here"));
  if (filter.length) return empty(t("tasks.no_match"), h("p", null, h("a.button", { href: "#/tasks" }, t("filter.clear"))));
  return empty(t("tasks.none"), h("pre", null, "gridsidecar submit --type TYPE --data '{\"key\": \"value\"}'"));
}

function paging(filter, cursor, next) {
  return [
    cursor ? h("a.button.small", { href: link("tasks", "", filter) }, t("tasks.newest")) : null,
    next ? h("a.button.small", { id: "older", href: link("tasks", "", [...filter, ["cursor", next]]) }, t("tasks.older")) : null,
  ];
}
