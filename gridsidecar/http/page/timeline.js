// The attempts of a task as bars over the time that they took.
import { now } from "./api.js";
import { h, plain } from "./dom.js";
import { duration } from "./format.js";
import { t } from "./words.js";

const MOST = 30; // bars: the newest

export function timeline(task, attempts) {
  const bars = attempts.filter((one) => one.started_at).slice(-MOST).map((one) => [one.attempt, one.outcome, Date.parse(one.started_at), Date.parse(one.ended_at)]);
  if (task.status === "running" && task.started_at) bars.push([task.attempt, "running", Date.parse(task.started_at), now()]);
  if (bars.length < 2) return null;
  const from = Math.min(...bars.map(([, , start]) => start));
  const span = Math.max(1, ...bars.map(([, , , end]) => end - from));
  const drawn = bars.map(([number, outcome, start, end]) => {
    const bar = h(`span.bar.${/^[a-z_]+$/.test(outcome) ? outcome : "other"}`, { title: `#${number} ${plain(outcome, 40)} ${duration((end - start) / 1000)}` });
    bar.style.left = `${(100 * (start - from)) / span}%`;
    bar.style.width = `${Math.max(0.4, (100 * (end - start)) / span)}%`;
    return h("span.row", null, h("span.number", null, `${number}`), h("span.lane", null, bar));
  });
  return h("div", { role: "img", "aria-label": t("attempts.timeline", { n: bars.length, span: duration(span / 1000) }) }, drawn, h("span.scale", null, h("span", null, "0"), h("span", null, duration(span / 1000))));
}
