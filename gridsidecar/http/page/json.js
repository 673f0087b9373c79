// A JSON value as text that can be read and copied; a large one begins with its beginning.
import { fill, h } from "./dom.js";
import { bytes } from "./format.js";
import { copying } from "./tell.js";
import { t } from "./words.js";

const SHOWN = 20_000; // characters

export function json(title, value) {
  if (value === null || value === undefined) return null;
  const whole = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const pre = h("pre", { tabindex: "0", "aria-label": title }, whole.slice(0, SHOWN));
  const more = h("p.faint");
  if (whole.length > SHOWN) fill(more, t("json.cut", { size: bytes(whole.length) }), " ", h("button.small", { onclick: () => { pre.textContent = whole; more.remove(); } }, t("json.all")));
  return h("section.card", null, h("div.title", null, h("h2", null, title), h("div.grow"), copying(t("copy.copy"), () => whole)), pre, whole.length > SHOWN ? more : null);
}
