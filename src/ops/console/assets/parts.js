// Pieces that several views share.

import { h } from "./dom.js";
import { ago, clock, fullTime, words } from "./format.js";

const TONES = {
  healthy: "ok", closed: "ok", on: "ok", available: "ok", admitting: "ok", resolved: "ok", pending: "warn", active: "bad", acknowledged: "info", done: "ok", full: "warn", limiting: "warn", throttling: "warn", degraded: "warn", half_open: "warn", regressed: "warn", warning: "warn", lost: "warn",
  unhealthy: "bad", open: "bad", forced_open: "bad", critical: "bad", new: "bad", failed: "bad", running: "info", disabled: "info", shadow: "info", info: "info",
};

export const tone = (state) => TONES[state] ?? "";

export const pill = (state, text = words(state), as = tone(state)) => h("span", { class: `pill ${as}` }, text);

export const outcomePill = (name) => pill(name, words(name), name === "success" ? "ok" : name === "client_error" || name === "cancelled" ? "" : "bad");

// A colored dot; what it means stands beside it in words.
export const dot = (as) => h("span", { class: `dot ${as}`, "aria-hidden": "true" });

export const time = (at, now, className) => h("time", { class: className, title: fullTime(at), datetime: iso(at) }, clock(at, now));

export const timeAgo = (at, now) => h("time", { title: fullTime(at), datetime: iso(at) }, ago(at, now));

const iso = (at) => (at == null ? undefined : new Date(at * 1000).toISOString());

export const num = (text, className = "") => h("span", { class: `num ${className}` }, text);

// A text of any length on one line; all of it in the title.
export const clip = (text, className = "") => h("span", { class: `clip ${className}`, title: text }, text);

export function card(title, aside, ...inner) {
  return h("section", { class: "card" }, h("h2", {}, h("span", {}, title), h("span", { class: "aside" }, aside)), inner);
}

// A definition list of `[term, description]`; terms without a description are left out.
export function pairs(...entries) {
  return h("dl", { class: "kv" }, entries.filter((entry) => entry && entry[1] != null && entry[1] !== "")
    .map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
}

export const note = (text, as = "") => h("p", { class: `note ${as}` }, text);

// What stands where data would be: loading, an error, or nothing yet.
export function placeholder(entry, empty) {
  if (entry?.error?.status === 401) return h("p", { class: "nothing" }, "You are not signed in. ", h("a", { href: "login", class: "link" }, "Sign in"));
  if (entry?.error?.status === 403) return h("p", { class: "nothing" }, "Your role may not see this.");
  if (entry?.error) return h("p", { class: "nothing", role: "alert" }, entry.error.message);
  if (!entry || (entry.loading && entry.data === undefined)) return h("p", { class: "nothing loading" }, "Loading…");
  return h("p", { class: "nothing" }, empty);
}

export const truncated = (yes, text) => (yes ? note(text, "warn") : null);

// Buttons of which one is pressed: `[value, text]`.
export function segments(label, options, value, choose) {
  return h("span", { class: "seg", role: "group", "aria-label": label },
    options.map(([each, text]) => h("button", { type: "button", key: each, "aria-pressed": String(each === value), onclick: () => choose(each) }, text)));
}

export function search(label, value, change) {
  return h("input", { type: "search", class: "filter", placeholder: label, "aria-label": label, value: value ?? "", oninput: (event) => change(event.target.value) });
}
