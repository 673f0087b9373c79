// Everything that is asked again and again: not in hidden tabs, not when people stop it, more rarely while it fails.

const LONGEST = 30; // seconds between tries while the server is away
const pollers = new Set();
const listeners = new Set();
let stopped = false;

export const isStopped = () => stopped;

export function setStopped(value) {
  stopped = value;
  if (!stopped) wake();
}

/** Called with what went wrong, or null when an answer came. */
export const onNews = (listener) => listeners.add(listener);

/** Ask all again at once, as after a change. */
export function wake() {
  for (const poller of pollers) poller.now();
}

export function tell(problem) {
  for (const listener of listeners) listener(problem);
}

/** `work` now, and again so many seconds after it is done. The second answer ends it. */
export function poll(seconds, work) {
  let timer;
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
      if (!over) tell(null);
    } catch (error) {
      failures += 1;
      if (!over) tell(error);
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
  const poller = { now, plan };
  pollers.add(poller);
  now();
  const end = () => {
    over = true;
    clearTimeout(timer);
    pollers.delete(poller);
  };
  return [poller.now, end];
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) for (const poller of pollers) poller.plan();
  else if (!stopped) wake();
});
