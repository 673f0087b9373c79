// Elements, and lists that change in place. Text is only ever text: nothing here reads markup.

const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** An element: `h("p.note", {onclick, title}, "text", another)`. */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...there(children));
  return element;
}

/** What somebody else wrote, on one line: characters that are not seen, or that turn the text around, are named. */
export function plain(text, most = 300) {
  const whole = String(text ?? "");
  const cut = whole.length > most ? `${whole.slice(0, most)}…` : whole;
  return cut.replace(CONTROLS, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The same as an element that keeps its direction to itself. */
export const said = (text, most) => h("bdi", { title: String(text ?? "").length > 60 ? plain(text, 2000) : null }, plain(text, most));

const there = (children) => children.flat(3).filter((child) => child !== null && child !== undefined && child !== false);

/** Everything in `parent` becomes these. */
export function fill(parent, ...children) {
  parent.replaceChildren(...there(children));
  return parent;
}

/** The same for elements of which most look as before: those stay, with their focus and selection. */
export function renew(parent, ...children) {
  const next = there(children);
  const focused = parent.contains(document.activeElement);
  next.forEach((child, at) => {
    const old = parent.childNodes[at];
    if (!old) parent.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (parent.childNodes.length > next.length) parent.lastChild.remove();
  if (focused && !parent.contains(document.activeElement)) document.getElementById("main").focus(); // not on what does something else now
}

/** The children of `parent` become one for each item. One whose item says the same stays, with its focus and selection. */
export function keep(parent, items, nameOf, make) {
  const old = new Map([...parent.children].map((child) => [child.keptName, child]));
  const next = items.map((item) => {
    const name = nameOf(item);
    const says = JSON.stringify(item);
    const before = old.get(name);
    if (before && before.keptSays === says) return before;
    const made = make(item);
    made.keptName = name;
    made.keptSays = says;
    if (before?.contains(document.activeElement)) refocus(before, made);
    return made;
  });
  const same = next.length === parent.children.length && next.every((child, at) => child === parent.children[at]);
  if (!same) {
    const focused = next.find((child) => child.refocus);
    parent.replaceChildren(...next);
    focused?.refocus();
  }
}

const FOCUSABLE = "a, button, input, select, summary";

function refocus(before, made) {
  const at = [...before.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  made.refocus = () => {
    delete made.refocus;
    made.querySelectorAll(FOCUSABLE)[at]?.focus();
  };
}

/** A table whose head is `columns` (null has no words, a trailing # is for numbers); rows go into its body. */
export function table(caption, columns) {
  const cells = columns.map((column) => {
    const right = column?.endsWith("#");
    return h(right ? "th.number" : "th", { scope: "col" }, right ? column.slice(0, -1) : column);
  });
  const body = h("tbody");
  const whole = h("table", null, h("caption.hidden", null, caption), h("thead", null, h("tr", null, cells)), body);
  return { box: scrolling(caption, whole), body };
}

/** A box that a wide table scrolls in, also with the keyboard. Its edges show on which side there is more. */
export function scrolling(label, inside) {
  const box = h("div.scroll", { tabindex: "0", role: "region", "aria-label": label }, inside);
  const mark = () => {
    box.classList.toggle("before", box.scrollLeft > 1);
    box.classList.toggle("after", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };
  box.addEventListener("scroll", mark, { passive: true });
  const sized = new ResizeObserver(mark);
  sized.observe(box);
  sized.observe(inside);
  return box;
}
