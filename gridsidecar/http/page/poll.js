// Everything that is asked again and again: not in hidden tabs, not when people stop it, more rarely while it fails.

const LONGEST = 30; // seconds between tries while the server is away
const pollers = new Set();
const listeners = new Set();
const wrong = new Map(); // who asked → what went wrong, until an answer comes
let stopped = false;

export const isStopped = () => stopped;

export function setStopped(value) {
  stopped = value;
  if (stopped) for (const poller of pollers) poller.plan();
  else wake();
}

/** Called with what is wrong, or null when everything is answered. */
export const onNews = (listener) => listeners.add(listener);

/** Ask all again at once, as after a change. */
export function wake() {
  for (const poller of pollers) poller.now();
}

/** What came of something that was asked: a problem, or null. */
export function tell(problem, asked) {
  if (problem) wrong.set(asked, problem);
  else wrong.delete(asked);
  const all = [...wrong.values()];
  const worst = all.find((one) => one.status === 401) ?? all[0] ?? null;
  if (worst?.status === 401) wrong.clear();
  for (const listener of listeners) listener(worst);
}

/** `work` now, and again so many seconds after it is done. The second answer ends it. */
export function poll(seconds, work) {
  let timer;
  const poller = { now, plan };
  let busy = false;
  let again = false;
  let over = false;
  let failures = 0;
  async function now() {
    if (over) return;
    if (busy) {
      again = true;
      return;
    }
    clearTimeout(timer);
    busy = true;
    try {
      await work();
      failures = 0;
      if (!over) tell(null, poller);
    } catch (error) {
      failures += 1;
      if (!over) tell(error, poller);
    }
    busy = false;
    if (again) {
      again = false;
      now();
    } else plan();
  }
  function plan() {
    clearTimeout(timer);
    if (over || stopped || document.hidden) return;
    timer = setTimeout(now, 1000 * Math.min(seconds * 2 ** Math.min(failures, 6), Math.max(LONGEST, seconds)));
  }
  pollers.add(poller);
  now();
  const end = () => {
    over = true;
    clearTimeout(timer);
    pollers.delete(poller);
    if (wrong.has(poller)) tell(null, poller);
  };
  return [poller.now, end];
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) for (const poller of pollers) poller.plan();
  else if (!stopped) wake();
});
