// The address of a view: `#guards?name=payments&range=1h`. All that a colleague needs to see the same is in it.

export const RANGES = ["5m", "1h", "24h"];

export function parse(hash = location.hash) {
  const [name, query = ""] = hash.replace(/^#/, "").split("?");
  const params = Object.fromEntries(new URLSearchParams(query));
  if (!RANGES.includes(params.range)) delete params.range;
  return { name: name || "overview", params };
}

// Returns the address of a view; the default range is not in it.
export function link(name, params = {}) {
  const kept = Object.entries(params).filter(([key, value]) => value != null && value !== "" && !(key === "range" && value === "5m"));
  const query = new URLSearchParams(kept).toString();
  return `#${name}${query ? `?${query}` : ""}`;
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
export const localLink = (href) => (typeof href === "string" && /^#[a-z]+(\?|$)/.test(href) ? href : undefined);
