// Where we are is in the address: `#/task/ID`, `#/tasks?status=failed`. So it can be kept, shared and gone back to.

export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s, 2);
  const [view, ...rest] = path.split("/");
  return { view: view === "task" && !rest.join("") ? "tasks" : view || "overview", name: decoded(rest.join("/")), query: new URLSearchParams(query ?? "") };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view. `query` has pairs; what is empty is left out. */
export function link(view, name, query) {
  const given = [...(query ?? [])].filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const asked = new URLSearchParams(given).toString();
  const coded = name ? `/${encodeURIComponent(name.toWellFormed?.() ?? name)}` : "";
  return `#/${view}${coded}${asked ? `?${asked}` : ""}`;
}

export function go(view, name, query) {
  location.hash = link(view, name, query);
}
