// An address that leads nowhere: said, and a way on.
import { fill, h, plain } from "./dom.js";
import { empty } from "./parts.js";
import { link } from "./router.js";
import { t } from "./words.js";

export function unknown(root) {
  const address = h("code", null, h("bdi", null, plain(location.hash, 200)));
  fill(root, h("h1.hidden", null, t("view.unknown")), empty(t("unknown.text"), address, h("p", null, h("a.button", { href: link("overview") }, t("unknown.overview")))));
}
