// Where we are is in the address: `#/task/ID`, `#/tasks?status=failed`. So it can be kept, shared and gone back to.

export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s, 2);
  const [view, ...rest] = path.split("/");
  const name = decoded(rest.join("/"));
  return { view: seen(view, name), name, query: new URLSearchParams(query ?? "") };
}

/** Of tasks, whoever writes an address may say one or many: an id is one. */
function seen(view, name) {
  if (view === "task" || view === "tasks") return name ? "task" : "tasks";
  return view || "overview";
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
