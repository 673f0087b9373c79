// Times with their offset, durations, sizes and numbers, as people read them.
import { now } from "./api.js";
import { language, t } from "./words.js";
import { h } from "./dom.js";

const two = (number) => String(Math.trunc(number)).padStart(2, "0");

export function offset(date) {
  const minutes = -date.getTimezoneOffset();
  return `${minutes < 0 ? "−" : "+"}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
}

/** The offset that heads of lists name, so that the times below them need not. */
const HERE = offset(new Date());

/** The head of a column of times. */
export const zoned = (words) => `${words} ${HERE}`;

/** A moment in a column: with an offset where it has another one, as in the other half of the year. */
export const listed = (iso) => time(iso, HERE);

/** A moment as a field for one has it; nothing where it is none. */
export function local(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  return `${day(date)}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

/** A moment: its date only where it is not today's. `told` is an offset that is said elsewhere. */
export function time(iso, told = "") {
  if (!iso) return "–";
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const today = new Date(now()).toDateString() === date.toDateString();
  return h("time", { datetime: iso, title: `${day(date)} ${clock} ${offset(date)} (${iso})` },
    today ? clock : `${day(date).slice(5)} ${clock}`, offset(date) === told ? null : h("span.faint", null, ` ${offset(date)}`));
}

/** Seconds as 0.25 s, 12.3 s, 4 min 10 s, 3 h 2 min, 5 d 4 h. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  if (seconds < 0.001) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${number(seconds, 1, Number.isInteger(seconds) ? 0 : 1)} s`;
  if (seconds < 3600) return `${Math.trunc(seconds / 60)} min ${Math.trunc(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.trunc(seconds / 3600)} h ${Math.trunc((seconds % 3600) / 60)} min`;
  return `${Math.trunc(seconds / 86400)} d ${Math.trunc((seconds % 86400) / 3600)} h`;
}

/** Seconds from one moment to another, or until now. */
export function between(from, to) {
  if (!from) return null;
  return Math.max(0, ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000);
}

export const ago = (iso) => (iso ? t("time.ago", { span: duration(Math.floor(between(iso))) }) : "–");

export function number(value, most = 0, least = 0) {
  return value === null || value === undefined ? "–" : value.toLocaleString(language(), { maximumFractionDigits: most, minimumFractionDigits: least });
}

/** More than can be counted is told as such. */
export const count = (value, atLeast) => `${number(value ?? 0)}${atLeast ? "+" : ""}`;

export const percent = (share) => `${number(share * 100, share < 0.1 ? 1 : 0)} %`;

export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = size;
  for (; value >= 1024 && at < units.length - 1; at += 1) value /= 1024;
  return `${number(value, at ? 1 : 0)} ${units[at]}`;
}
