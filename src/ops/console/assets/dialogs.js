// Dialogs: controls of operators, each with a reason and a limited time, and the help.

import { h, render } from "./dom.js";
import { get, post, refresh } from "./api.js";
import { words } from "./format.js";
import { latest } from "./store.js";
import { isBreaker, rangeText, statName, unitOf, valueText } from "./guard_parts.js";

// What an operator can do with a guard: text, explanation, class, and both texts where no circuit is meant. All but the
// first two end by themselves.
const CONTROLS = {
  release: ["Release", "Ends what an operator forced. The guard decides by itself again."],
  reset: ["Reset", "Takes back what was forced, and forgets what was counted."],
  hold_closed: ["Hold closed…", "Admits all calls, whatever fails", "", "Admit all…", "Admits all calls, however many"],
  hold_open: ["Hold open…", "Rejects all calls", "bad", "Reject all…"],
  hold_on: ["Switch on…", "Injects faults into calls", "bad"],
  hold_off: ["Switch off…", "Does nothing to calls"],
  shadow: ["Shadow…", "Counts and reports as usual, but rejects no call", "quiet"],
};
const TIMES = [[60, "1 minute"], [300, "5 minutes"], [600, "10 minutes"], [1800, "30 minutes"], [3600, "1 hour"], [14400, "4 hours"], [86400, "1 day"]];
const DEFAULT_TIME = 600;

export const maySwitch = (status) => status?.role === "operator" && status.controls === true;

// Returns the controls that this viewer may use on a guard: none at all for those who may not.
export function controlsOf(guard, status) {
  if (!maySwitch(status)) return [];
  const order = Object.keys(CONTROLS);
  const allowed = (guard.controls ?? []).filter((action) => action !== "release" || guard.held_until);
  // One that this page does not know yet has its name.
  return allowed.sort((a, b) => order.indexOf(a) - order.indexOf(b)).map((action) => {
    const [text, says, className, other, otherSays = says] = CONTROLS[action] ?? [`${words(action)}…`, "Does so"];
    return [action, ...(other && !isBreaker(guard) ? [other, otherSays] : [text, says]), className];
  });
}

const addressOf = (guard, what) => `api/v1/guards/${encodeURIComponent(guard.kind)}/${encodeURIComponent(guard.name)}/${what}`;

export function askControl([action, label, says, className], guard) {
  const verb = label.replace("…", "");
  const timed = verb !== label;
  ask({
    title: `${verb}: ${guard.name}`, text: `Now ${words(guard.state)} (${words(guard.kind)}). ${says}${timed ? ", until the time has elapsed." : ""}`, timed, verb, isBad: className === "bad",
    send: ({ seconds, reason }) => post(addressOf(guard, "control"), { action, ...(timed ? { seconds } : {}), reason }),
  });
}

// Shares are typed as percentages; digits that only the conversion makes are left out.
const scaled = (name, value, factor) => (value == null ? "" : unitOf(name) === "percent" ? Number((value * factor).toPrecision(12)) : value);

export function askSetting(guard, setting) {
  const { name, min, max, whole, can_be_off: canBeOff } = setting;
  const unit = unitOf(name);
  const label = `${statName(name)}${unit && `, ${unit}`}: ${rangeText(setting)}`;
  ask({
    title: `Change ${statName(name)}: ${guard.name}`, text: `Now ${valueText(setting)}. The new value stays until it is changed again or the process ends.`, verb: "Change",
    fields: [{ name: "value", label, value: scaled(name, setting.value, 100), hint: canBeOff ? "off" : "", type: "number", min: scaled(name, min, 100), max: scaled(name, max, 100), step: whole ? 1 : "any", required: !canBeOff }],
    send: ({ value, reason }) => post(addressOf(guard, "settings"), { setting: name, value: value === "" ? null : scaled(name, Number(value), 0.01), reason }),
  });
}

const STATUS_TEXTS = { resolved: "It is told as regressed if it comes back.", ignored: "It is counted, and not told any more.", open: "It counts as an open error again." };

export function askErrorStatus(group, status, verb) {
  ask({ title: `${verb}: ${group.kind}`, text: STATUS_TEXTS[status], verb,
    send: async ({ reason }) => { await post(`api/v1/errors/${encodeURIComponent(group.fingerprint)}`, { status, reason }); refresh("api/v1/errors"); } });
}

const channelAddress = (channel, rest) => `api/v1/channels/${encodeURIComponent(channel.name)}/${rest}`;

export function askTest(channel) {
  ask({ title: `Test: ${channel.name}`, text: `Sends a message that says it is a test to ${channel.target || channel.kind}.`, verb: "Send",
    send: async ({ reason }) => {
      const { delivery } = await post(channelAddress(channel, "test"), { reason });
      refresh("api/v1/channels");
      if (delivery.error) throw new Error(`It was not delivered: ${delivery.error}`);
    } });
}

export function askRetry(channel, delivery) {
  ask({ title: `Send again: ${channel.name}`, text: delivery.title, verb: "Send",
    send: async ({ reason }) => { await post(channelAddress(channel, `deliveries/${encodeURIComponent(delivery.id)}/retry`), { reason }); refresh("api/v1/channels"); } });
}

const ALERT_TEXTS = { acknowledge: "It is not told again until it is resolved or more severe.", resolve: "It begins anew if its condition still holds. To stop it being told, silence it." };

export function askAlert(alert, action, verb) {
  ask({ title: `${verb}: ${alert.rule}`, text: `${alert.summary}. ${ALERT_TEXTS[action]}`, verb,
    send: async ({ reason }) => { await post(`api/v1/alerts/${encodeURIComponent(alert.fingerprint)}/${action}`, { reason }); refresh("api/v1/alerts"); } });
}

// One field for each label; a label whose field is emptied does not matter.
export function askSilence(alert) {
  const matchers = [["alertname", alert.rule], ...Object.entries(alert.labels)].slice(0, 10).map(([name, value]) => `${name}=${value.replace(/[|*\\]/g, "\\$&")}`);
  ask({
    title: `Silence: ${alert.rule}`, text: "Alerts that match all of these are not told until the time has elapsed. A * at the end stands for any text.", timed: true, verb: "Silence",
    fields: matchers.map((value, i) => ({ name: `matcher-${i}`, label: i ? "and" : "Matches", value, required: false })),
    send: async ({ seconds, reason, ...values }) => {
      await post("api/v1/silences", { matchers: Object.values(values).map((text) => text.trim()).filter(Boolean), seconds, reason });
      for (const path of ["api/v1/silences", "api/v1/alerts"]) refresh(path);
    },
  });
}

export function askEndSilence(silence) {
  ask({ title: "End the silence", text: silence.matchers.join(", "), verb: "End",
    send: async ({ reason }) => { await post(`api/v1/silences/${encodeURIComponent(silence.id)}/end`, { reason }); refresh("api/v1/silences"); } });
}

export async function showLogLevel() {
  let current = {};
  let error;
  try { current = await get("api/v1/log-level"); } catch (problem) { error = problem.message; }
  ask({
    title: "Log level", text: "What is logged in this process, as in RUST_LOG. The old filter comes back when the time has elapsed.", timed: true, verb: "Set", error,
    fields: [{ name: "filter", label: "Filter", value: current.filter ?? "info", hint: "info,sqlx=debug" }],
    send: ({ filter, seconds, reason }) => post("api/v1/log-level", { filter, seconds, reason }),
  });
}

// A form in a modal dialog. It stays open with the problem if the server rejects what was sent.
function ask({ title, text, timed, verb, isBad, fields = [], error, send }) {
  const dialog = open(title);
  let isSending = false;
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    isSending = true;
    draw();
    try {
      await send({ ...values, reason: values.reason.trim(), seconds: Number(values.seconds) });
      dialog.close();
    } catch (problem) {
      error = problem.status === 403 ? `You may not do this: ${problem.message}` : problem.message;
      isSending = false;
      draw();
    }
  };
  const draw = () => render(dialog, [h("form", { onsubmit: submit },
    h("h2", { id: "dialog-title", class: "breaks" }, title), h("p", { class: "faint" }, text),
    fields.map(({ label, value, hint, ...field }) => h("label", { key: field.name }, label, h("input", { initial: value, placeholder: hint, required: true, maxlength: 1000, spellcheck: "false", ...field }))),
    timed ? h("label", {}, "For", h("select", { name: "seconds", initial: String(DEFAULT_TIME) }, TIMES.map(([seconds, name]) => h("option", { value: String(seconds) }, name)))) : null,
    h("label", {}, "Reason", h("input", { name: "reason", required: true, maxlength: 200, pattern: ".*\\S.*", title: "Some words on why", autocomplete: "off", placeholder: `It is written into the journal${latest().status?.user ? " with your name" : ""}` })),
    error ? h("p", { class: "note bad", role: "alert" }, error) : null,
    h("div", { class: "acts" }, h("button", { type: "button", class: "btn quiet", onclick: () => dialog.close() }, "Cancel"),
      h("button", { class: `btn ${isBad ? "danger" : "primary"}`, disabled: isSending }, isSending ? "Sending…" : verb)))]);
  draw();
  dialog.showModal();
  dialog.querySelector("input")?.focus();
}

function open() {
  document.querySelector("dialog")?.remove();
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "dialog-title");
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  return dialog;
}

const KEYS = [["space", "pause or resume"], ["t", "light or dark"], ["1 … 9", "views, as in the navigation"], ["/", "filter"], ["Esc", "close the detail"], ["?", "this help"]];
const WORDS = [
  ["failure", "the call failed for a reason of ours or of a peer"], ["client error", "the caller's request was wrong"], ["overload", "this process or a peer had too much to do"], ["timed out", "a time limit elapsed"],
  ["cancelled", "the caller did not wait for the end"], ["rejected", "a guard of this process did not admit the call"], ["panicked", "the code of the application panicked"],
];

export function showHelp() {
  const dialog = open();
  const rows = (list) => h("dl", { class: "help" }, list.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
  render(dialog, [h("h2", { id: "dialog-title" }, "Keys"), rows(KEYS), h("h2", {}, "Outcomes of calls"), rows(WORDS),
    h("p", { class: "faint" }, "Errors are failures, overload, timed-out, rejected and panicked calls. Every address can be shared: range, filters and selection are in it."),
    h("div", { class: "acts" }, h("button", { type: "button", class: "btn", onclick: () => dialog.close() }, "Close"))]);
  dialog.showModal();
}
