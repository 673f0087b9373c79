// What a handler says, as it says it: the newest end of it is followed until people scroll away.
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes } from "./format.js";
import { isStopped } from "./poll.js";
import { choice } from "./parts.js";
import { copying } from "./tell.js";
import { t } from "./words.js";

const EVERY = 1500; // milliseconds
const SHOWN = 400_000; // characters on the page
const COLOURS = /\u001b\[[0-9;]*[A-Za-z]/g;

export function logs(path, root) {
  const text = h("pre.log", { id: "log", tabindex: "0", "aria-label": t("logs.title") });
  const head = h("h2", null, t("logs.title"));
  const picked = h("div");
  let attempt = null; // null: the newest
  let shown = 0; // the attempt that is shown
  let next = 0;
  let running = true;
  let over = false;
  let timer;
  let newest = 0;
  fill(root, h("div.title", null, head, h("div.grow"), picked, copying(t("copy.copy"), () => text.textContent)), text);

  function restart(number) {
    attempt = number;
    shown = 0;
    next = 0;
    running = true;
    look();
  }

  async function look() {
    clearTimeout(timer);
    if (over) return;
    try {
      const told = await get(`${path}/logs`, [["attempt", attempt], ["since", next || null]], { fresh: true });
      if (!over) show(told);
    } catch (problem) {
      if (problem.status === 404 && !text.childNodes.length) fill(text, h("span.faint", null, t("logs.none")));
    }
    if (running && !over) timer = setTimeout(() => (document.hidden || isStopped() ? wait() : look()), EVERY);
  }

  function wait() {
    timer = setTimeout(() => (document.hidden || isStopped() ? wait() : look()), EVERY);
  }

  function show(told) {
    if (told.attempt !== shown) {
      shown = told.attempt;
      fill(text);
    }
    const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 20;
    if (told.pieces.length && text.querySelector(".faint")) fill(text);
    for (const piece of told.pieces) {
      if (piece.left_out) text.append(h("span.gap", null, `\n${t("logs.left_out", { size: bytes(piece.left_out) })}\n`));
      if (piece.text) text.append(piece.text.replace(COLOURS, ""));
    }
    next = told.next;
    running = told.running || told.status === "running";
    if (!text.childNodes.length) fill(text, h("span.faint", null, t(running ? "logs.none_yet" : "logs.none")));
    shorten();
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  function shorten() {
    let length = text.textContent.length;
    while (length > SHOWN && text.childNodes.length > 1) {
      length -= text.firstChild.textContent.length;
      text.firstChild.remove();
    }
  }

  return {
    /** The task as it is now: another attempt is another log. */
    update(task) {
      const most = Math.max(task.attempt, 0);
      if (most !== newest) {
        newest = most;
        const from = Math.max(1, most - 9);
        const options = Array.from({ length: Math.max(0, most - from + 1) }, (_, at) => [from + at, String(from + at)]);
        fill(picked, most > 1 ? choice(t("logs.attempt"), options, attempt ?? most, restart) : null);
        if (attempt === null) restart(null);
      } else if (task.status === "running" && !running) restart(attempt);
    },
    end() {
      over = true;
      clearTimeout(timer);
    },
  };
}
