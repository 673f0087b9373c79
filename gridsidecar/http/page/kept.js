// What the browser keeps of people's choices. Where it may keep nothing, they hold until the page is left.

/** A named place in `localStorage`, or in `sessionStorage`: even to name that is refused where people block it. */
export function kept(name, area = "localStorage") {
  const key = `gridsidecar.${name}`;
  const tried = (work) => {
    try {
      return work(window[area]);
    } catch {
      return null;
    }
  };
  return {
    read: () => tried((store) => store.getItem(key)),
    write: (value) => tried((store) => (value ? store.setItem(key, value) : store.removeItem(key))),
  };
}
