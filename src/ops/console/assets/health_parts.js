// How components of the health are shown.

import { h } from "./dom.js";
import { link } from "./address.js";
import { duration, words } from "./format.js";
import { clip, dot, pill, tone } from "./parts.js";

export const STATUS_ORDER = ["unhealthy", "degraded", "unknown", "healthy"];

export function healthRow(component) {
  return h("a", { key: component.name, href: link("health", { name: component.name }) }, dot(tone(component.status) || "unknown"),
    h("span", { class: "t" }, clip(component.name), clip(healthText(component), "s")), pill(component.status));
}

export function healthText(component) {
  const parts = [component.text || (component.last_seconds == null ? words(component.kind) : duration(component.last_seconds)), component.critical ? "critical" : null];
  return parts.filter(Boolean).join(" · ");
}
