// Lines over time, drawn by uPlot, and the same as a table for those who do not see them.
/* global uPlot */
import { fill, h, scrolling } from "./dom.js";
import { listed, number, zoned } from "./format.js";
import { language, t } from "./words.js";

const HEIGHT = 170;
const FEW = 10; // values of a line that are drawn as points, too

/** A chart of `lines`: `[{ label, colour, unit }]`; its `draw` takes [seconds, [values…]…]. Durations, which differ by
 * powers of ten, are drawn as such, and a line goes on where nothing ended. */
export function chart(title, lines, { durations = false } = {}) {
  const place = h("div.plot", { "aria-hidden": "true" });
  const rows = h("div");
  const details = h("details", { ontoggle: () => details.open && tabulate() }, h("summary", null, t("chart.table")), rows);
  const key = h("p.key", null, lines.map((line) => h(`span.${line.colour}`, null, line.label)));
  const root = h("section.card.chart", null, h("div.title", null, h("h2", null, title), h("div.grow"), key), place, details);
  let plot = null;
  let data = null;
  const make = () => {
    plot?.destroy();
    plot = null;
    if (data && place.clientWidth) plot = new uPlot(options(lines, place, durations), data, place);
  };
  const sized = new ResizeObserver(() => (plot ? plot.setSize({ width: place.clientWidth, height: HEIGHT }) : make()));
  sized.observe(place);
  document.addEventListener("theme", make);

  function tabulate() {
    const head = h("tr", null, h("th", { scope: "col" }, zoned(t("chart.time"))), lines.map((line) => h("th.number", { scope: "col" }, `${line.label}, ${line.unit}`)));
    const some = data ? data[0].map((at, place) => [at, place]).filter(([, at]) => data.slice(1).some((line) => line[at])).slice(-200).reverse() : [];
    const body = some.map(([at, place]) => h("tr", null, h("td", null, listed(new Date(at * 1000).toISOString())), data.slice(1).map((line) => h("td.number", null, number(line[place], 3)))));
    const box = scrolling(title, h("table", null, h("caption.hidden", null, title), h("thead", null, head), h("tbody", null, body)));
    box.classList.add("low");
    fill(rows, box);
  }

  return {
    root,
    draw(values) {
      data = values;
      if (plot) plot.setData(values);
      else make();
      if (details.open) tabulate();
    },
    end() {
      sized.disconnect();
      document.removeEventListener("theme", make);
      plot?.destroy();
    },
  };
}

/** Of the steps between powers of ten only those have lines and words. */
const tens = (_, splits) => splits.map((value) => (Math.abs(Math.log10(value) % 1) < 1e-9 ? value : null));

const seconds = (value) => (value === null ? "" : value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);

function options(lines, place, durations) {
  const colour = (name) => {
    const probe = h(`i.${name}`);
    place.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const ink = colour("ink");
  const grid = { stroke: colour("grid"), width: 1 };
  const font = `11px ${getComputedStyle(place).fontFamily}`;
  const axis = { stroke: ink, grid, ticks: grid, font };
  const clock = new Intl.DateTimeFormat(language(), { hour: "2-digit", minute: "2-digit", hour12: false });
  const day = new Intl.DateTimeFormat(language(), { month: "2-digit", day: "2-digit" });
  const words = (_, splits, __, ___, step) => splits.map((at) => (step >= 86400 ? day : clock).format(at * 1000));
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false } },
    scales: { x: { range: (plot, from, to) => [from, to + (plot.data[0][1] - from || 0)] }, y: durations ? { distr: 3, range: (_, least, most) => (most > 0 ? uPlot.rangeLog(Math.max(least, 0.001), Math.max(most, 0.01), 10, true) : [0.1, 10]) } : { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [{ ...axis, size: 28, values: words }, { ...axis, size: 56, ...(durations ? { grid: { ...grid, filter: tens }, ticks: { ...grid, filter: tens } } : {}), values: (_, splits) => (durations ? tens(_, splits).map(seconds) : splits.map((value) => number(value, 2))) }],
    series: [{}, ...lines.map((line) => ({ stroke: colour(line.colour), fill: line.filled ? colour(`${line.colour}-faint`) : undefined, width: 1.5, points: { show: (plot, at) => plot.data[at].filter((value) => value !== null).length <= FEW, size: 5 }, spanGaps: durations, paths: line.filled ? uPlot.paths.stepped({ align: 1, extend: true }) : undefined }))],
  };
}
