// How events of the journal are shown.

import { h } from "./dom.js";
import { link } from "./address.js";
import { dot, time, tone } from "./parts.js";

// Where an event leads: to the guard, component or error group that it is about.
export function eventLink(event) {
  const name = event.subject;
  if (event.kind === "guard") return link("guards", { name });
  if (event.kind === "alert") return link("alerts", { at: event.data?.fingerprint });
  if (event.kind === "control" && (event.data?.alert || event.data?.silence)) return link("alerts", { at: event.data.alert });
  if (event.kind === "control" && event.data?.fingerprint) return link("errors", { status: "all", at: event.data.fingerprint });
  if (event.kind === "control" && event.data?.kind) return link("guards", { kind: event.data.kind, name });
  if (event.kind === "health") return link("health", { name });
  if (event.kind === "error") return event.data?.fingerprint ? link("errors", { at: event.data.fingerprint }) : link("errors");
  if (event.kind === "workflow" && event.data?.id) return link("workflows", { at: event.data.id });
  return link("journal", { at: event.seq });
}

export function eventText(event) {
  const text = String(event.text ?? "");
  const subject = event.subject && !text.startsWith(event.subject) ? `${event.subject}: ` : "";
  return [subject, text, event.who ? [" by ", h("b", {}, event.who)] : null];
}

export function eventLine(event, now) {
  return h("div", { class: "line", key: event.seq }, time(event.at, now), dot(event.severity === "info" ? "" : tone(event.severity)),
    h("a", { href: eventLink(event), class: "breaks" }, eventText(event)));
}
