// Notifications: the channels, how their last message went, and what became of each, dead letters included.

import { h } from "../dom.js";
import { change, link } from "../address.js";
import { count, duration, plural, words } from "../format.js";
import { card, clip, dot, num, pill, placeholder, segments, time, timeAgo } from "../parts.js";
import { use } from "../api.js";
import { askRetry, askTest, maySwitch } from "../dialogs.js";

const SECONDS = 3;
const STATES = [["all", "All"], ["dead", "Dead letters"], ["retrying", "Retrying"], ["delivered", "Delivered"]];
const STATE_TONES = { delivered: "ok", dead: "bad", dropped: "bad", retrying: "warn", queued: "info" };

export function notifications(context) {
  const channels = use("api/v1/channels", SECONDS).data?.channels ?? [];
  const selected = channels.find((channel) => channel.name === context.params.channel) ?? (channels.length === 1 ? channels[0] : undefined);
  return [channelsCard(context, selected), selected ? deliveries(selected, context) : null];
}

// Whom the alerts are told, and how that went.
export function channelsCard(context, selected) {
  const entry = use("api/v1/channels", SECONDS);
  const channels = entry.data?.channels ?? [];
  return card("Notification channels", channels.length ? summary(channels) : null,
    channels.length ? h("div", { class: "rows" }, channels.map((channel) => row(channel, selected, context)))
      : placeholder(entry, "No notification channels are configured. OpsBuilder::notify adds them."));
}

function summary(channels) {
  const dead = channels.reduce((sum, channel) => sum + channel.dead, 0);
  return dead ? plural(dead, "dead letter") : "no dead letters";
}

// How a channel does: tone and words.
function stateOf(channel) {
  if (channel.circuit !== "closed") return ["bad", `circuit ${words(channel.circuit)}`];
  if (channel.failures > 0) return ["warn", plural(channel.failures, "failure")];
  return channel.last ? ["ok", "works"] : ["", "not used yet"];
}

function row(channel, selected, context) {
  const { params, state, now } = context;
  const [as, text] = stateOf(channel);
  const told = [channel.alerts ? "alerts" : null, channel.events?.length === 0 ? null : channel.events ? channel.events.map(words).join(", ") : "events",
    channel.journal.length ? `journal: ${channel.journal.map(words).join(", ")}` : null].filter(Boolean).join(", ");
  return h("div", { class: "row wraps", key: channel.name, "aria-current": channel === selected ? "true" : undefined }, dot(as),
    h("a", { class: "t", href: link("notifications", { channel: channel.name, delivery: params.delivery }) },
      clip(channel.name === channel.kind ? channel.name : `${channel.name} (${channel.kind})`, "strong"),
      clip(channel.target, "s"), clip(`${told || "nothing"}, ${channel.min_severity === "info" ? "any severity" : `${channel.min_severity} and above`}`, "s")),
    h("span", { class: "s hide-s" }, channel.last ? [outcome(channel.last), " · ", timeAgo(channel.last.at, now)] : null),
    channel.queued ? pill("", `${count(channel.queued)} waiting`, "warn") : null,
    channel.dead ? pill("", plural(channel.dead, "dead letter"), "bad") : null,
    pill("", text, as),
    maySwitch(state.status) ? h("button", { type: "button", class: "btn", onclick: () => askTest(channel) }, "Test…") : null);
}

const outcome = ({ error, status, seconds }) => [error ? h("span", { class: "breaks" }, error) : [status, " in ", num(duration(seconds))]];

function deliveries(channel, context) {
  const { params } = context;
  const state = params.delivery ?? "all";
  const query = state === "all" ? "" : `&state=${state}`;
  const entry = use(`api/v1/channels/${encodeURIComponent(channel.name)}/deliveries?limit=100${query}`, SECONDS);
  const rows = entry.data?.deliveries ?? [];
  return h("section", { class: "card gap", key: channel.name, "aria-label": `Messages of ${channel.name}` },
    h("h2", {}, clip(`Messages of ${channel.name}`)),
    h("div", { class: "tools" }, segments("State", STATES, state, (value) => change({ delivery: value === "all" ? undefined : value }))),
    rows.length ? h("div", { class: "rows" }, rows.map((delivery) => message(channel, delivery, context)))
      : placeholder(entry, state === "all" ? "No message yet." : "None."),
    entry.data?.truncated ? h("p", { class: "note" }, "Older ones are not shown.") : null);
}

function message(channel, delivery, { now, state }) {
  const parts = [delivery.attempts > 1 ? plural(delivery.attempts, "attempt") : null, delivery.error ? null : delivery.status, delivery.seconds == null ? null : duration(delivery.seconds), delivery.error];
  const wait = Math.round(delivery.next_at - now);
  const next = delivery.next_at == null || delivery.attempts === 0 ? null : wait > 0 ? `next attempt in ${duration(wait)}` : channel.circuit === "closed" ? "next attempt now" : "waits for the circuit";
  return h("div", { class: "row wraps", key: delivery.id }, time(delivery.queued_at, now, "faint"),
    h("span", { class: "t" }, clip(delivery.title, "strong"), h("span", { class: "s breaks" }, [...parts, next].filter((part) => part != null && part !== "").join(" · "))),
    pill(delivery.state, words(delivery.state), STATE_TONES[delivery.state] ?? ""),
    delivery.can_retry && maySwitch(state.status) ? h("button", { type: "button", class: "btn", onclick: () => askRetry(channel, delivery) }, "Send again…") : null);
}
