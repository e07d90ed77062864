// Starts the page: connects, draws when something changed, and hears keys.

import { render } from "./dom.js";
import { change, parse } from "./address.js";
import { connect, watchVisibility } from "./live.js";
import { changed, isPaused, now, onChange, setPaused, shown } from "./store.js";
import { applyTheme, toggleTheme } from "./settings.js";
import { watchScroll } from "./windowed.js";
import { VIEWS, shell } from "./shell.js";
import { showHelp } from "./dialogs.js";

const root = document.getElementById("app");
let isPlanned = false;

// Once per frame at most, and not at all in a tab that nobody sees.
function plan() {
  if (isPlanned) return;
  isPlanned = true;
  requestAnimationFrame(draw);
}

function draw() {
  isPlanned = false;
  const active = document.activeElement;
  const address = parse();
  const context = { state: shown(), now: now(), params: address.params, view: address.name, redraw: changed };
  render(root, shell(context));
  document.title = title(context);
  // Reordering may have taken the focus away.
  if (active !== document.activeElement && active?.isConnected && document.activeElement === document.body) active.focus({ preventScroll: true });
}

function title({ state, view }) {
  const urgent = state.status?.attention?.length;
  const name = VIEWS.find((each) => each.name === view)?.title ?? "Overview";
  return `${urgent ? `(${urgent}) ` : ""}${name} · ${state.status?.service ?? "tower-keep"}`;
}

const isField = (el) => el instanceof HTMLElement && (el.matches("input, select, textarea, button, a, summary") || el.isContentEditable);

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.target instanceof HTMLElement && event.target.matches("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const view = VIEWS[Number(event.key) - 1];
  if (view) location.hash = `#${view.name}`;
  else if (event.key === " " && !isField(event.target)) setPaused(!isPaused());
  else if (event.key === "t") { toggleTheme(); changed(); }
  else if (event.key === "?") showHelp();
  else if (event.key === "/") document.querySelector("main .filter")?.focus();
  else if (event.key === "Escape") change(deselected());
  else return;
  event.preventDefault();
}

// What closes the detail of the view that is shown.
const deselected = () => ({ guards: { name: undefined, kind: undefined }, health: { name: undefined }, workflows: { at: undefined, step: undefined } })[parse().name] ?? { at: undefined };

// Another view begins at its top; a detail that was opened is shown and has the focus.
function onAddress(event) {
  const [before, after] = [event.oldURL, event.newURL].map((url) => parse(new URL(url || location.href).hash));
  if (before.name !== after.name || before.params.id !== after.params.id) scrollTo(0, 0);
  const isSelected = ["at", "name"].some((name) => after.params[name] && after.params[name] !== before.params[name]);
  draw();
  const detail = isSelected && document.querySelector("main .detail");
  if (detail) {
    detail.scrollIntoView({ block: "nearest" });
    detail.focus({ preventScroll: true });
  }
  // On a narrow screen the navigation is one line that scrolls.
  if (before.name !== after.name) document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// The views take the hash: the skip link moves the focus itself.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main")?.focus();
});

applyTheme();
onChange(plan);
addEventListener("hashchange", onAddress);
addEventListener("keydown", onKey);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", plan);
watchScroll();
watchVisibility();
// Ages and countdowns move without news.
setInterval(plan, 1000);
plan();
connect();
