// The address of a view: `#guards?name=payments&range=1h`, or of one thing in it: `#traces/4bf9…`, whose `id` is a parameter
// like others. All that a colleague needs to see the same is in it.

export const RANGES = ["5m", "1h", "24h"];
// Those of metrics, where there is a file.
export const LONG_RANGES = [...RANGES, "7d", "90d"];

export function parse(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [name, id] = path.split("/");
  const params = Object.fromEntries(new URLSearchParams(query));
  if (id) params.id = id;
  if (!(name === "metrics" ? LONG_RANGES : RANGES).includes(params.range)) delete params.range;
  return { name: name || "overview", params };
}

// Returns the address of a view; the default range is not in it.
export function link(name, { id, ...params } = {}) {
  const kept = Object.entries(params).filter(([key, value]) => value != null && value !== "" && !(key === "range" && value === "5m"));
  const query = new URLSearchParams(kept).toString();
  return `#${name}${id ? `/${id}` : ""}${query ? `?${query}` : ""}`;
}

// Changes parameters of the view that is shown. Typing replaces the address, choosing adds one to go back to.
export function change(params, { replace = false } = {}) {
  const at = parse();
  const next = link(at.name, { ...at.params, ...params });
  if (next === location.hash) return;
  if (!replace) location.hash = next;
  else {
    history.replaceState(null, "", next);
    dispatchEvent(new HashChangeEvent("hashchange"));
  }
}

// Returns a link that came from the server if it stays in this page.
export const localLink = (href) => (typeof href === "string" && /^#[a-z]+(\/\w+)?(\?|$)/.test(href) ? href : undefined);
