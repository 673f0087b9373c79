// What happened, in words: problems, short messages, and questions before something changes.
import { h } from "./dom.js";
import { t } from "./words.js";

/** What went wrong, as the server told it; or that it was not there. */
export function explained(problem) {
  if (problem.status === 0) return t("problem.away");
  if (problem.status === undefined) return t("problem.page", { what: problem.message });
  const kind = { 403: "problem.403", 404: "problem.404", 409: "problem.409", 502: "problem.502", 503: "problem.503" }[problem.status];
  return `${kind ? t(kind) : t("problem.other", { status: problem.status })} ${problem.message}`.trim();
}

/** A message for some seconds. */
export function toast(text, bad = false) {
  const one = h(bad ? "p.toast.bad" : "p.toast", null, text);
  document.getElementById("toasts").append(one);
  setTimeout(() => one.remove(), bad ? 12000 : 5000);
}

/** Do it, say that it is done, and have everything asked for again. */
export async function act(work, done) {
  try {
    const answer = await work();
    toast(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (problem) {
    toast(explained(problem), true);
    return undefined;
  } finally {
    document.dispatchEvent(new Event("changed"));
  }
}

/** Whether people are sure; `fields` are shown between, and focus goes back to where it was. */
export function sure(title, explanation, button, { fields = [], danger = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", onclose: () => { resolve(dialog.returnValue === "yes"); dialog.remove(); } },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "dialog-title" }, title),
        h("p", null, explanation),
        fields,
        h("div.buttons", null, h("button", { type: "button", onclick: () => dialog.close("no") }, t("dialog.no")), h(danger ? "button.danger" : "button.primary", { value: "yes" }, button)),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("input, select") ?? dialog.querySelector("button[value=yes]")).focus();
  });
}

/** A button that puts a text where it can be pasted; plain HTTP has no clipboard, so it is selected there. */
export function copying(label, text) {
  return h("button.small", { type: "button", onclick: () => copy(text()) }, label);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("copy.done"));
  } catch {
    const area = h("textarea", { readonly: true, rows: "6", "aria-label": t("copy.by_hand") });
    area.value = text;
    const sureToClose = sure(t("copy.title"), t("copy.by_hand"), t("dialog.close"), { fields: [area] });
    area.select();
    await sureToClose;
  }
}

