// The form where the server wants a token. It is kept as long as the tab is open.
import { fill, h } from "./dom.js";
import { t } from "./words.js";

export function login(root, wasWrong, use) {
  const input = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "token-help" });
  const form = h(
    "form.login.card",
    { onsubmit: (event) => { event.preventDefault(); use(input.value.trim()); } },
    h("h1", null, t("login.title")),
    wasWrong ? h("p.bad", { role: "alert", id: "wrong" }, t("login.wrong")) : null,
    h("label", { for: "token" }, t("login.token")),
    input,
    h("p.faint", { id: "token-help" }, t("login.help")),
    h("button.primary", { type: "submit" }, t("login.enter")),
  );
  fill(root, form);
  input.focus();
}
