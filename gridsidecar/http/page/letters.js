// Dead letters and callbacks: why, what was in them, and another chance. Read when asked, never polled.
import { get, part, post } from "./api.js";
import { undelivered } from "./callbacks.js";
import { fill, h, keep, plain, said, table } from "./dom.js";
import { bytes, listed, number, zoned } from "./format.js";
import { json } from "./json.js";
import { badge, empty, opener, taskLink } from "./parts.js";
import { tell } from "./poll.js";
import { act, sure, toast } from "./tell.js";
import { t } from "./words.js";

const PAGE = 100;
const OF_A_TASK = /^task-failed: /; // which the task's status says

export function letters(root, _, me) {
  const dead = deadLetters(me);
  const owed = undelivered(me, loaded);
  const reload = () => Promise.all([dead.load(), owed.load()]);
  fill(root, h("div.title", null, h("h1", null, t("letters.heading")), h("div.grow"), h("button", { id: "reload", onclick: reload }, t("letters.reload"))), h("p.faint", null, t("letters.help")), dead.root, owed.root);
  document.addEventListener("changed", reload);
  reload();
  return () => {
    document.removeEventListener("changed", reload);
    tell(null, "letters");
  };
}

async function loaded(read, show) {
  try {
    show(await read());
    tell(null, "letters");
  } catch (problem) {
    tell(problem, "letters");
  }
}

// -- letters --

function deadLetters(me) {
  const view = table(t("letters.title"), [t("task.id"), t("letters.reason"), `${t("task.attempt")}#`, zoned(t("letters.time")), `${t("letters.size")}#`, t("letters.task"), `${t("letters.what")}#`]);
  const below = h("div");
  const all = h("div.buttons");
  const root = h("section.card", null, h("div.title", null, h("h2", null, t("letters.title")), h("div.grow"), all), view.box, below);
  const show = ({ dead, more }) => {
    for (const open of view.body.querySelectorAll("[aria-expanded=true]")) open.click();
    keep(view.body, dead, (one) => `${one.message_id} ${one.task_id} ${one.time}`, (one) => letter(one, me));
    view.box.hidden = !dead.length;
    fill(below, dead.length ? null : empty(t("letters.none")), more ? h("p.faint", null, t("letters.more", { n: number(dead.length) })) : null);
    fill(all, me.may_change && dead.length ? [replayAll(), dropAll()] : null);
  };
  return { root, load: () => loaded(() => get("dead", [["limit", PAGE]], { fresh: true }), show) };
}

function letter(one, me) {
  const id = one.task_id ?? one.message_id;
  const open = opener(7, async () => {
    const { dead } = await get(`dead/${part(id)}`, [], { fresh: true });
    return dead.map((found) => [json(t("letters.properties"), found.properties), json(t("letters.body"), found.body ?? found.body_base64)]);
  });
  return h("tr", null,
    h("td", null, one.task_id ? taskLink(one.task_id) : h("span.mono", null, said(one.message_id ?? "–", 80)), one.queue === me.queue ? null : h("span.faint", null, " · ", said(one.queue ?? "–", 60))),
    h("td.what", null, said((one.reason ?? "–").replace(OF_A_TASK, ""), 300)),
    h("td.number", null, one.attempts === null ? "–" : number(one.attempts)),
    h("td", null, listed(one.time)),
    h("td.number", null, bytes(one.bytes)),
    h("td", null, one.task_status ? badge(one.task_status) : "–"),
    h("td", null, h("div.buttons", null, id ? open : null, me.may_change && id ? [replay([id]), drop([id])] : null)));
}

const replay = (ids) => h("button.small", { onclick: () => act(() => post("dead/replay", { ids }), told) }, t("letters.replay"));

const drop = (ids) => h("button.small.danger", { onclick: async () => (await sure(t("letters.drop_title"), plain(ids[0], 200), t("letters.drop"), { danger: true })) && act(() => post("dead/drop", { ids }), ({ dropped }) => t("letters.dropped", { n: number(dropped) })) }, t("letters.drop"));

const replayAll = () => h("button.small", { onclick: async () => (await sure(t("letters.replay_all"), t("letters.replay_text"), t("letters.replay"))) && act(() => post("dead/replay", { all: true }), told) }, t("letters.replay_all"));

const dropAll = () => h("button.small.danger", { onclick: async () => (await sure(t("letters.drop_all"), t("letters.drop_text"), t("letters.drop_all"), { danger: true })) && act(() => post("dead/drop", { all: true }), ({ dropped }) => t("letters.dropped", { n: number(dropped) })) }, t("letters.drop_all"));

/** What came of a replay; what was not sent is told with its reason. */
function told({ outcomes, letters: some }) {
  const not = some.filter((one) => one.outcome !== "sent");
  for (const one of not.slice(0, 3)) toast(`${plain(one.id, 80)}: ${one.outcome} ${one.detail ?? ""}`, true);
  return t("letters.sent", { n: number(outcomes.sent) });
}
