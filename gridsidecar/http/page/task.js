// One task: what it is, how it went, what it says, and what can be done about it.
import { events, get, part, post } from "./api.js";
import { callbackTable } from "./callbacks.js";
import { fill, h, keep, plain, renew, said, table } from "./dom.js";
import { between, bytes, duration, listed, number, time, zoned } from "./format.js";
import { json } from "./json.js";
import { logs } from "./logs.js";
import { badge, card, empty, pausedBy, progress, typeLink } from "./parts.js";
import { isStopped, poll } from "./poll.js";
import { act, copying, sure } from "./tell.js";
import { timeline } from "./timeline.js";
import { t } from "./words.js";

const CAN = { cancel: ["pending", "retrying", "running"], retry: ["failed", "cancelled"] };
const ENDED = ["success", "failed", "cancelled"];
const WRITTEN = ["data", "result", "checkpoint"]; // by others: shown as they were written
const QUIET = 10; // seconds between looks while the stream tells of changes

export function task(root, { name: id }, me) {
  const view = layout(id);
  fill(root, view.head, view.now, view.body);
  const path = `tasks/${part(id)}`;
  const tail = logs(path, view.logs);
  let seen;
  const [look, end] = poll(QUIET, async () => {
    try {
      const fresh = view.changed;
      view.changed = false;
      const found = await get(path, [], { exact: WRITTEN, fresh });
      view.body.hidden = false;
      if (found !== seen) draw(view, found, me);
      seen = found;
      tail.update(found);
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      view.body.hidden = true;
      fill(view.now, empty(t("task.unknown"), h("p.faint", null, problem.message)));
    }
  });
  const again = () => { view.changed = true; };
  document.addEventListener("changed", again, true);
  const close = listen(path, () => seen && !ENDED.includes(seen.status), again, look);
  return () => {
    document.removeEventListener("changed", again, true);
    close();
    tail.end();
    end();
  };
}

/** One stream while the task goes on and somebody looks: what it tells is asked for in whole. */
function listen(path, goesOn, again, look) {
  let stream = null;
  const timer = setInterval(async () => {
    const wanted = goesOn() && !document.hidden && !isStopped();
    if (!wanted) stream?.abort();
    if (!wanted || stream) return;
    stream = new AbortController();
    try {
      for await (const _ of events(`${path}/events`, stream.signal)) {
        again();
        look();
      }
    } catch {
      // it is opened anew; whether the server is away is told by what is polled
    }
    stream = null;
  }, 1000);
  return () => {
    clearInterval(timer);
    stream?.abort();
  };
}

function layout(id) {
  const head = h("div.title", null, title(id));
  const callbacks = callbackTable(false);
  const attempts = table(t("attempts.title"), [`${t("task.attempt")}#`, t("task.status"), t("task.worker"), zoned(t("attempts.started")), `${t("task.took")}#`, t("attempts.exit"), `${t("attempts.cpu")}#`, `${t("attempts.memory")}#`, t("task.error")]);
  const view = { id, head, now: h("div.now"), facts: h("dl.facts"), error: h("div"), values: h("div.values"), logs: h("section.card"), bars: h("div.timeline"), attempts, callbacks, changed: false };
  view.tried = card(t("attempts.title"), view.bars, attempts.box);
  view.owed = card(t("callbacks.title"), callbacks.box);
  view.body = h("div.stack", null, view.error, card(t("task.facts"), view.facts), view.tried, view.logs, view.values, view.owed);
  return view;
}

const title = (id) => h("h1.mono", null, h("bdi", null, plain(id, 300)));

function draw(view, found, me) {
  renew(view.head, title(found.task_id), badge(found.status), h("div.grow"), h("div.buttons", null, buttons(found, me)));
  const notices = [
    found.paused ? h("p.notice", null, t("pause.type_is"), " ", pausedBy(found.paused)) : null,
    found.cancel_requested && !ENDED.includes(found.status) ? h("p.notice", null, t("task.cancelling_text")) : null,
    found.due_in_s > 0 && !ENDED.includes(found.status) ? h("p.notice", null, t("task.due", { span: duration(found.due_in_s) })) : null,
  ];
  renew(view.now, found.status === "running" ? h("div.line.large", null, progress(found), said(found.progress_message ?? "", 400)) : null, notices);
  renew(view.facts, facts(found));
  const { error_type, last_error_type, error_message, traceback } = found;
  const failed = error_type || error_message || traceback;
  keep(view.error, failed ? [{ types: [error_type, last_error_type], error_message, traceback, over: ENDED.includes(found.status) }] : [], () => "error", failure);
  drawAttempts(view, found);
  const values = [[t("task.data"), found.data], [t("task.result"), found.result], [t("task.checkpoint"), found.checkpoint]];
  keep(view.values, values.filter(([, value]) => value !== null && value !== undefined), ([name]) => name, ([name, value]) => json(name, value));
  view.owed.hidden = !found.callbacks?.length;
  view.callbacks.show(found.callbacks ?? [], me);
}

function buttons(found, me) {
  const path = `tasks/${part(found.task_id)}`;
  const may = (kind) => me.may_change && CAN[kind].includes(found.status);
  return [
    may("retry") ? h("button.primary", { id: "retry", onclick: () => act(() => post(`${path}/retry`), t("task.retried")) }, t("task.retry")) : null,
    may("cancel") ? h("button.danger", { id: "cancel", onclick: () => cancel(path, found) }, t("task.cancel")) : null,
    copying(t("task.command"), () => command(found)),
    copying(t("task.copy_id"), () => found.task_id),
  ];
}

async function cancel(path, found) {
  const running = found.status === "running";
  if (running && !(await sure(t("task.cancel_title"), t("task.cancel_text"), t("task.cancel"), { danger: true }))) return;
  await act(() => post(`${path}/cancel`), ({ outcome }) => t(outcome === "asked" ? "task.cancel_asked" : "task.cancelled"));
}

/** What submits the same once more, for a shell. */
function command(found) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const data = found.data === null || found.data === undefined ? "" : ` --data ${quoted(JSON.stringify(found.data))}`;
  const limits = `${found.timeout ? ` --timeout ${found.timeout}` : ""}${found.priority ? ` --priority ${found.priority}` : ""}`;
  return `gridsidecar submit --type ${quoted(found.task_type)}${data} --retries ${found.max_retry_count}${limits}`;
}

function facts(found) {
  const ended = ENDED.includes(found.status);
  const rows = [
    ["task.type", typeLink(found.task_type)],
    ["task.queue", found.queue && said(found.queue)],
    ["task.attempt", attemptOf(found.attempt, (found.max_retry_count ?? 0) + 1)],
    ["task.crashes", found.crashes ? number(found.crashes) : null],
    ["task.interruptions", found.interruptions ? number(found.interruptions) : null],
    ["task.created", time(found.created_at)],
    ["task.started", time(found.started_at)],
    ["task.ended", ended ? time(found.completed_at) : null],
    [found.status === "running" ? "task.runs_for" : "task.took", found.started_at ? duration(between(found.started_at, ended ? found.completed_at : null)) : null],
    ["task.next", found.next_run_at && !ended ? time(found.next_run_at) : null],
    ["task.worker", found.worker && said(found.worker)],
    ["task.priority", found.priority ? number(found.priority) : null],
    ["task.timeout", found.timeout ? duration(found.timeout) : null],
    ["task.callback", found.callback_url && said(found.callback_url, 200)],
    ["task.says", found.status !== "running" && found.progress_message ? said(found.progress_message, 400) : null],
  ];
  return rows.filter(([, value]) => value).map(([words, value]) => h("div", null, h("dt", null, t(words)), h("dd", null, value)));
}

/** One that was retried by hand may have more than its retries allow. */
const attemptOf = (n, most) => (n > most ? number(n) : t("task.attempt_of", { n: number(n), most: number(most) }));

/** Why it failed; of one that goes on, why it was tried again. */
function failure({ types, error_message: message, traceback, over }) {
  return h(
    "section.card.failure",
    null,
    h("h2", null, t(over ? "task.error" : "task.error_before"), [...new Set(types)].filter(Boolean).map((type) => h("span.badge.failed", null, said(type, 120)))),
    message ? h("pre.words", { tabindex: "0", "aria-label": t("task.error") }, message) : null,
    traceback ? h("details", { open: over }, h("summary", null, t("task.traceback")), h("pre", { tabindex: "0", "aria-label": t("task.traceback") }, traceback)) : null,
  );
}

function drawAttempts(view, found) {
  const attempts = found.attempts ?? [];
  fill(view.bars, timeline(found, attempts));
  view.attempts.box.hidden = !attempts.length;
  view.tried.hidden = !attempts.length && found.status === "running";
  keep(view.attempts.body, attempts, (one) => String(one.attempt), attempt);
  if (!attempts.length && found.status !== "running") fill(view.bars, h("p.faint", null, t("attempts.none")));
}

function attempt(one) {
  const exit = one.signal_number ? t("attempts.signal", { n: one.signal_number }) : one.exit_code === null || one.exit_code === undefined ? "–" : t("attempts.code", { n: one.exit_code });
  return h(
    "tr",
    null,
    h("td.number", null, number(one.attempt)),
    h("td", null, badge(one.outcome)),
    h("td", null, said(one.worker ?? "–", 60)),
    h("td", null, listed(one.started_at)),
    h("td.number", null, duration(one.started_at ? between(one.started_at, one.ended_at) : null)),
    h("td", null, exit),
    h("td.number", null, duration(one.cpu_seconds)),
    h("td.number", null, bytes(one.peak_memory)),
    h("td.what", null, h("div.line", null, one.error_type ? h("span.bad", null, said(one.error_type, 60)) : null, h("span.faint", null, said(one.error_message ?? "", 200)))),
  );
}
