// The frame: who is asked, where we are, what is wrong; and the view that the address names.
import { get, hasToken, part, useToken } from "./api.js";
import { fill, h, plain } from "./dom.js";
import { handlers } from "./handlers.js";
import { kept } from "./kept.js";
import { letters } from "./letters.js";
import { login } from "./login.js";
import { overview } from "./overview.js";
import { isStopped, onNews, poll, setStopped, wake } from "./poll.js";
import { go, link, route } from "./router.js";
import { task } from "./task.js";
import { tasks } from "./tasks.js";
import { explained } from "./tell.js";
import { unknown } from "./unknown.js";
import { language, setLanguage, t } from "./words.js";

const VIEWS = { overview, tasks, task, letters, handlers };
const NAMED = ["task"]; // views of one thing, whose name is in the address
const TABS = ["overview", "tasks", "letters", "handlers"];
const THEMES = ["auto", "light", "dark"];
const keptTheme = kept("theme");
let leave = () => {};
let endMe = () => {};
let me = null;
let shownMe = "";

const banner = h("div.banner", { role: "alert", hidden: true });
const main = h("main", { id: "main", tabindex: "-1" });
const header = h("header");

function start() {
  const theme = keptTheme.read();
  setTheme(THEMES.includes(theme) ? theme : "auto");
  fill(document.body, h("a.skip", { href: "#main", onclick: skip }, t("frame.skip")), header, banner, main, h("div.toasts", { id: "toasts", role: "status" }));
  window.addEventListener("hashchange", move);
  document.addEventListener("keydown", shortcut);
  onNews(news);
  enter();
}

/** Ask who we are, and then for the view; a form where a token is needed. */
function enter() {
  endMe();
  [, endMe] = poll(10, async () => {
    const told = await get("me");
    const says = JSON.stringify(told);
    me = me && shownMe ? Object.assign(me, told) : { ...told }; // the view that is open keeps the one that it was given
    if (says !== shownMe) {
      const first = shownMe === "";
      shownMe = says;
      frame();
      if (first) show();
    }
  });
}

function news(problem) {
  if (problem?.status === 401) {
    leave();
    leave = () => {};
    endMe();
    shownMe = "";
    banner.hidden = true;
    fill(header, h("a.brand", { href: "#/" }, "gridsidecar"), h("div.grow"), choices());
    login(main, hasToken(), (token) => {
      useToken(token);
      fill(main, h("p.empty", null, t("frame.loading")));
      enter();
    });
    return;
  }
  banner.hidden = !problem;
  if (problem) fill(banner, explained(problem), " ", problem.status === 0 || problem.status >= 500 ? t("problem.again") : "");
  document.body.classList.toggle("away", Boolean(problem));
}

function show() {
  if (!me) return;
  const where = route();
  leave();
  fill(main);
  const view = Object.hasOwn(VIEWS, where.view) && (NAMED.includes(where.view) || !where.name) ? where.view : "unknown";
  leave = (view === "unknown" ? unknown(main) : VIEWS[view](main, where, me)) ?? (() => {});
  const title = t(`view.${view}`);
  document.title = `${view === "task" ? plain(where.name, 60) : title} · ${me.queue}`;
  for (const tab of header.querySelectorAll("nav a")) {
    const here = tab.dataset.view === view || (tab.dataset.view === "tasks" && view === "task");
    if (here) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
}

/** Another address: whoever was inside the view before finds the same field or button in the new one, or begins at its start. */
function move() {
  const { id, name } = document.activeElement;
  const inside = main.contains(document.activeElement);
  show();
  if (!inside) return;
  const again = id ? document.getElementById(id) : main.querySelector(`[name="${CSS.escape(name ?? "")}"]`);
  (again ?? main).focus({ preventScroll: true });
}

function frame() {
  const where = route();
  const tabs = TABS.map((view) => h("a", { href: link(view), "data-view": view, "aria-current": view === where.view ? "page" : null }, t(`view.${view}`)));
  fill(
    header,
    h("a.brand", { href: "#/" }, "gridsidecar"),
    h("span.queue", { title: t("frame.queue") }, h("bdi", null, plain(me.queue, 60))),
    h("nav", { "aria-label": t("frame.views") }, tabs),
    h("div.grow"),
    h("form.search", { role: "search", onsubmit: search }, h("input", { id: "search", type: "search", placeholder: t("frame.search"), "aria-label": t("frame.search"), autocomplete: "off", spellcheck: "false", title: "/" })),
    choices(),
  );
}

function choices() {
  const live = h("button.quiet", { id: "live", "aria-pressed": String(isStopped()), onclick: toggle }, t(isStopped() ? "frame.stopped" : "frame.live"));
  const other = language() === "zh" ? "en" : "zh";
  return [
    me && shownMe ? live : null,
    h("button.quiet", { id: "language", lang: other, onclick: () => speak(other) }, other === "zh" ? "中文" : "English"),
    h("button.quiet", { id: "theme", onclick: nextTheme, title: t("frame.theme") }, t(`theme.${document.documentElement.dataset.choice}`)),
    hasToken() && shownMe ? h("button.quiet", { id: "leave", onclick: signOut }, t("frame.out")) : null,
  ];
}

function toggle(event) {
  setStopped(!isStopped());
  event.target.setAttribute("aria-pressed", String(isStopped()));
  event.target.textContent = t(isStopped() ? "frame.stopped" : "frame.live");
}

function speak(other) {
  setLanguage(other);
  if (shownMe) {
    frame();
    show();
  } else news({ status: 401 });
  document.getElementById("language").focus();
}

function signOut() {
  useToken("");
  news({ status: 401 });
}

async function search(event) {
  event.preventDefault();
  const id = event.target.querySelector("input").value.trim();
  if (!id) return;
  try {
    await get(`tasks/${part(id)}`);
    go("task", id);
  } catch {
    go("tasks", "", [["id_prefix", id]]);
  }
}

function shortcut(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select, dialog")) return;
  event.preventDefault();
  document.getElementById("search")?.focus();
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

// -- light and dark --

function setTheme(choice) {
  const root = document.documentElement;
  root.dataset.choice = choice;
  if (choice === "auto") delete root.dataset.theme;
  else root.dataset.theme = choice;
  document.dispatchEvent(new Event("theme"));
}

function nextTheme(event) {
  const choice = THEMES[(THEMES.indexOf(document.documentElement.dataset.choice) + 1) % THEMES.length];
  keptTheme.write(choice);
  setTheme(choice);
  event.target.textContent = t(`theme.${choice}`);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));
document.addEventListener("changed", wake);
start();
