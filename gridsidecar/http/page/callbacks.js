// One callback in a table: what is sent, and what can be done about it. And those that are owed or were given up.
import { get, part, post } from "./api.js";
import { fill, h, keep, plain, said, table } from "./dom.js";
import { listed, number, zoned } from "./format.js";
import { json } from "./json.js";
import { choice, empty, opener, taskLink } from "./parts.js";
import { act, sure } from "./tell.js";
import { t } from "./words.js";

const PAGE = 100;
const STATES = { owed: "pending", dead: "failed", delivered: "success" }; // and their colours
const COLUMNS = () => [t("callbacks.state"), t("callbacks.kind"), `${t("callbacks.tries")}#`, t("callbacks.to"), zoned(t("callbacks.next")), t("callbacks.error"), `${t("letters.what")}#`];

/** A table of callbacks; with the task of each where they are of many. */
export function callbackTable(ofMany) {
  const columns = ofMany ? [t("task.id"), ...COLUMNS()] : COLUMNS();
  const view = table(t("callbacks.title"), columns);
  const show = (found, me) => {
    const opened = [...view.body.querySelectorAll("tr.inside")].map((row) => [row.previousElementSibling, row]);
    keep(view.body, found, (one) => one.id, (one) => callback(one, me, ofMany, columns.length));
    for (const [owner, row] of opened) if (owner.isConnected) owner.after(row);
  };
  return { box: view.box, show };
}

function callback(one, me, ofMany, width) {
  const path = `callbacks/${part(one.id)}`;
  const show = opener(width, async () => (await get(path, [], { fresh: true })).callbacks.map(({ body }) => (body === null ? h("p.faint", null, t("callbacks.is_letter")) : json(t("callbacks.body"), body))));
  return h("tr", null,
    ofMany ? h("td", null, taskLink(one.task_id)) : null,
    h("td", null, h(`span.badge.${STATES[one.state]}`, null, t(`callback.${one.state}`))),
    h("td", null, said(one.kind, 40)),
    h("td.number", null, number(one.tries)),
    h("td", null, one.kind === "letter" ? t("callbacks.to_letters") : said(one.url ?? one.kind ?? "", 120)),
    h("td", null, listed(one.next_try_at ?? one.delivered_at)),
    h("td.what", null, h("span.bad", null, said(one.last_error ?? "", 240))),
    h("td", null, h("div.buttons", null, show, me.may_change ? [replay(path), one.state === "delivered" ? null : drop(path, one)] : null)));
}

const replay = (path) => h("button.small", { onclick: () => act(() => post(`${path}/replay`), replayed) }, t("letters.replay"));

const drop = (path, one) => h("button.small.danger", { onclick: async () => (await sure(t("callbacks.drop_title"), plain(`${one.task_id} · ${one.url ?? one.kind}`, 200), t("letters.drop"), { danger: true })) && act(() => post(`${path}/drop`), dropped) }, t("letters.drop"));

const replayed = ({ replayed: n }) => t("callbacks.replayed", { n: number(n) });

const dropped = ({ dropped: n }) => t("callbacks.dropped", { n: number(n) });

/** Those of all tasks that are owed or were given up. */
export function undelivered(me, loaded) {
  const view = callbackTable(true);
  const below = h("div");
  const all = h("div.buttons");
  let which = "dead";
  const show = ({ callbacks: found }) => {
    view.show(found, me);
    view.box.hidden = !found.length;
    fill(below, found.length ? null : empty(t(`callbacks.none_${which}`)), found.length === PAGE ? h("p.faint", null, t("callbacks.more", { n: number(PAGE) })) : null);
    fill(all, me.may_change && found.length && which === "dead" ? [replayAll(), dropAll()] : null);
  };
  const load = () => loaded(() => get("callbacks", [[which, "true"], ["limit", PAGE]], { fresh: true }), show);
  const choose = choice(t("callbacks.state"), [["dead", t("callback.dead")], ["owed", t("callback.owed")]], which, (chosen) => { which = chosen; load(); });
  const root = h("section.card", null, h("div.title", null, h("h2", null, t("callbacks.title")), choose, h("div.grow"), all), view.box, below);
  return { root, load };
}

const replayAll = () => h("button.small", { onclick: () => act(() => post("callbacks/replay"), replayed) }, t("callbacks.replay_all"));

const dropAll = () => h("button.small.danger", { onclick: async () => (await sure(t("letters.drop_all"), t("callbacks.drop_text"), t("letters.drop_all"), { danger: true })) && act(() => post("callbacks/drop"), dropped) }, t("letters.drop_all"));
