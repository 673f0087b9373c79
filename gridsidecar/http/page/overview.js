// The fleet at one look: what waits, what runs, who works, what failed and why nothing goes on.
import { get, now } from "./api.js";
import { chart } from "./chart.js";
import { fill, h, keep, said, table } from "./dom.js";
import { ago, between, count, duration, listed, number, percent, zoned } from "./format.js";
import { card, empty, pausedBy, progress, SPANS, spans, taskLink, typeLink } from "./parts.js";
import { poll } from "./poll.js";
import { link } from "./router.js";
import { t } from "./words.js";

const STEPS = { "1h": "1m", "24h": "10m", "7d": "1h" };
const EVERY = { "1h": 10, "24h": 60, "7d": 300 }; // seconds
const RUNNING = 50; // shown

export function overview(root, _, me) {
  const tiles = h("div.tiles");
  const notices = h("div");
  const running = section(t("overview.running"), [t("task.id"), t("task.type"), t("task.progress"), t("task.says"), `${t("task.attempt")}#`, `${t("task.runs_for")}#`]);
  const workers = section(t("overview.workers"), [t("task.worker"), `${t("overview.running")}#`, t("overview.life"), t("worker.version"), zoned(t("task.started"))]);
  const past = history();
  running.box.classList.add("running");
  fill(root, h("h1.hidden", null, t("view.overview")), notices, tiles, h("div.columns", null, running.root, h("div.stack", null, workers.root, past.failures)), past.root);
  const [, endState] = poll(4, async () => {
    const [stats, { tasks }] = await Promise.all([get("stats"), get("tasks", [["status", "running"], ["limit", RUNNING]])]);
    drawRunning(running, tasks, stats);
    drawWorkers(workers, stats.workers, me);
    fill(notices, notReady(me), stats.pauses.filter((one) => !one.ended).map(paused));
    drawTiles(tiles, stats);
  });
  const [, endQueue] = poll(4, async () => {
    const { queues } = await get("queues");
    tiles.queues = queues;
    if (tiles.stats) drawTiles(tiles, tiles.stats);
  });
  return () => {
    endState();
    endQueue();
    past.end();
  };
}

function section(title, columns) {
  const { box, body } = table(title, columns);
  const none = h("div");
  return { root: card(title, box, none), box, body, none };
}

// -- figures --

function drawTiles(tiles, stats) {
  tiles.stats = stats;
  const [queue] = tiles.queues ?? [];
  const delayed = queue ? Object.values(queue.delayed).reduce((sum, one) => sum + one, 0) : null;
  const alive = stats.workers.filter((one) => one.alive);
  const of = (status) => count(stats.statuses[status], stats.at_least.includes(status));
  fill(
    tiles,
    tile("ready", t("tile.ready"), queue ? number(queue.ready) : "–"),
    tile("delayed", t("tile.delayed"), queue ? number(delayed) : "–"),
    tile("running", t("status.running"), of("running"), link("tasks", "", [["status", "running"]])),
    tile("retrying", t("status.retrying"), of("retrying"), link("tasks", "", [["status", "retrying"]])),
    tile("success", t("status.success"), of("success"), link("tasks", "", [["status", "success"]])),
    tile("failed", t("status.failed"), of("failed"), link("tasks", "", [["status", "failed"]]), stats.statuses.failed > 0),
    tile("dead", t("tile.dead"), queue ? number(queue.dead) : "–", link("letters"), queue?.dead > 0),
    tile("callbacks", t("tile.callbacks"), number(stats.callbacks.owed), link("letters"), false, stats.callbacks.dead ? t("tile.given_up", { n: number(stats.callbacks.dead) }) : ""),
    tile("workers", t("tile.workers"), number(alive.length), null, alive.length === 0),
  );
}

function tile(name, words, figure, href, bad, more) {
  const content = [h("span.words", null, words), h(bad ? "span.figure.bad" : "span.figure", null, figure), more ? h("span.bad.more", null, more) : null];
  return href ? h("a.tile", { href, id: `tile-${name}` }, content) : h("div.tile", { id: `tile-${name}` }, content);
}

const notReady = (me) => Object.entries(me.not_ready).map(([name, reason]) => h("p.notice.bad", null, h("b", null, t("overview.not_ready")), " ", said(name, 60), ": ", said(reason, 400)));

const paused = (one) => h("p.notice", null, h("b", null, said(one.task_type, 60)), " ", t("pause.is_paused"), " ", pausedBy(one), one.parked ? [" · ", t("pause.parked", { n: number(one.parked) })] : null, " · ", h("a", { href: link("handlers") }, t("view.handlers")));

// -- what runs, and who works --

function drawRunning(view, tasks, stats) {
  keep(view.body, tasks, (one) => one.task_id, runningRow);
  view.box.hidden = !tasks.length;
  for (const cell of view.body.querySelectorAll("[data-started]")) cell.textContent = duration(Math.floor(between(cell.dataset.started)));
  const more = (stats.statuses.running ?? 0) - tasks.length;
  const nobody = !stats.workers.some((one) => one.alive);
  fill(view.none, tasks.length ? null : empty(t(nobody ? "overview.nobody" : "overview.idle"), nobody ? h("pre", null, "gridsidecar run -c config.yaml") : null),
    tasks.length >= RUNNING && more > 0 ? h("a", { href: link("tasks", "", [["status", "running"]]) }, t("overview.more", { n: number(more) })) : null);
}

function runningRow(one) {
  return h("tr", null, h("td", null, taskLink(one.task_id)), h("td", null, typeLink(one.task_type)), h("td", null, progress(one)), h("td.what", null, one.cancel_requested ? h("span.badge.cancelled", null, t("task.cancelling")) : said(one.progress_message ?? "", 160)), h("td.number", null, number(one.attempt)), h("td.number", { "data-started": one.started_at }, ""));
}

/** One that said goodbye runs nothing at once any more, and is no failure. */
const left = (one) => !one.alive && one.concurrency === 0;

function drawWorkers(view, all, me) {
  const workers = all.filter((one) => !left(one));
  keep(view.body, workers, (one) => one.id, (one) => h("tr", null,
    h("td", { title: one.id }, said(one.name, 60), one.queue === me.queue ? null : h("span.faint", null, " · ", said(one.queue, 60))),
    h("td.number", null, one.concurrency ? t("worker.of", { n: number(one.running), most: number(one.concurrency) }) : number(one.running)),
    h("td", null, one.alive ? h("span.badge.success", null, t("worker.alive")) : [h("span.badge.failed", null, t("worker.silent")), " ", ago(one.expires_at)]),
    h("td", null, one.version ? said(one.version, 40) : "–"),
    h("td", null, listed(one.started_at))));
  view.box.hidden = !workers.length;
  const other = workers.some((one) => one.alive && one.version && one.version !== me.version);
  fill(view.none, workers.length ? (other ? h("p.notice", null, t("worker.other", { version: me.version })) : null) : empty(t("overview.nobody")));
}

// -- what ended --

function history() {
  let span = "1h";
  let stop = () => {};
  const rate = chart(t("chart.rate"), [
    { label: t("status.success"), colour: "success", unit: t("unit.per_minute"), filled: true },
    { label: t("status.failed"), colour: "failed", unit: t("unit.per_minute"), filled: true },
    { label: t("status.retrying"), colour: "retrying", unit: t("unit.per_minute") },
  ]);
  const took = chart(t("chart.took"), [
    { label: "p50", colour: "success", unit: "s" },
    { label: "p95", colour: "running", unit: "s" },
    { label: "p99", colour: "cancelled", unit: "s" },
  ], { durations: true });
  const errors = h("div");
  const failures = card(t("overview.failures"), errors);
  const begin = (chosen) => {
    stop();
    span = chosen;
    [, stop] = poll(EVERY[span], async () => {
      const [series, ended] = await Promise.all([get("stats/series", [["since", span], ["step", STEPS[span]]]), get("stats/ended", [["since", span]])]);
      const values = aligned(series, SPANS[span]);
      rate.draw(values.rate);
      took.draw(values.took);
      fill(errors, byError(ended.ended, span));
    });
  };
  const root = h("div.stack", null, h("div.title", null, h("h2", null, t("overview.ended")), h("div.grow"), spans(span, begin)), h("div.charts", null, rate.root, took.root));
  begin(span);
  return { root, failures, end: () => { stop(); rate.end(); took.end(); } };
}

/** Points on even steps, of which only whole ones are told: none is zero for a rate, and a gap for a duration. */
function aligned({ step_s: step, points }, span) {
  const last = (Math.floor(now() / 1000 / step) - 1) * step;
  const whole = Math.floor(span / step) - 1; // the oldest began before this time
  const times = Array.from({ length: whole }, (_, at) => last - (whole - 1 - at) * step);
  const found = new Map(points.map((point) => [`${Date.parse(point.at) / 1000} ${point.outcome}`, point]));
  const line = (outcome, read, none) => times.map((at) => (found.has(`${at} ${outcome}`) ? read(found.get(`${at} ${outcome}`)) : none));
  const rate = (outcome) => line(outcome, (point) => (point.count * 60) / step, 0);
  const took = (name) => line("success", (point) => point[name], null);
  return { rate: [times, rate("success"), rate("failed"), rate("retrying")], took: [times, took("p50_s"), took("p95_s"), took("p99_s")] };
}

function byError(rows, span) {
  const failed = rows.filter((row) => ["failed", "retrying"].includes(row.outcome));
  const all = rows.reduce((sum, row) => sum + row.count, 0);
  const counts = new Map();
  for (const row of failed) counts.set(row.error_type ?? "", (counts.get(row.error_type ?? "") ?? 0) + row.count);
  const worst = [...counts].sort((one, other) => other[1] - one[1]).slice(0, 8);
  if (!worst.length) return h("p.faint", null, t(all ? "overview.no_failures" : "overview.nothing_ended"));
  const bar = ([type, n]) => h("li", null, h("a", { href: link("tasks", "", [["error_type", type], ["since", span]]) }, type ? said(type, 60) : t("overview.no_type")), h("meter", { max: String(worst[0][1]), value: String(n), "aria-hidden": "true" }), h("span.number", null, number(n)), h("span.number.faint", null, percent(n / all)));
  return [h("ul.bars", null, worst.map(bar)), h("p.faint.note", null, t("overview.share", { span: t(`span.${span}`) }))];
}
