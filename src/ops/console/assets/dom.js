// Draws the page from descriptions of elements. A view is a function from data to such descriptions; `render` changes
// only what differs, so that focus, selection and scrolling stay. Text becomes text nodes and nothing else: there is no
// way to put markup into the page.

const SVG = "http://www.w3.org/2000/svg";

// Describes an element. Properties: `key` finds it again among its siblings, `on…` are handlers, `style` is an object,
// `initial` is the value that a field begins with, `hook` an object with `mount`, `update` and `unmount` that owns what
// is inside (with `data` as argument).
export function h(tag, props, ...children) {
  const shown = children.flat(Infinity).filter((child) => child != null && child !== false && child !== true);
  return { tag, props: props ?? {}, children: shown };
}

// Makes `parent` contain exactly what `nodes` describe.
export function render(parent, nodes) {
  const svg = parent.namespaceURI === SVG;
  const { keyed, plain } = sortOld(parent.$entries ?? []);
  const entries = nodes.flat(Infinity).filter((node) => node != null && node !== false).map((node) => {
    const entry = takeOld(node, keyed, plain);
    if (!entry) return create(node, svg);
    update(entry, node);
    return entry;
  });
  // What is left goes before the rest is ordered: moving an element takes its focus away.
  for (const entry of [...keyed.values(), ...plain]) remove(entry);
  let at = parent.firstChild;
  for (const entry of entries) {
    if (entry.el === at) at = at.nextSibling;
    else parent.insertBefore(entry.el, at);
  }
  parent.$entries = entries;
}

const keyOf = (node) => (typeof node === "object" ? node.props.key : undefined);
const tagOf = (node) => (typeof node === "object" ? node.tag : "#text");

function sortOld(entries) {
  const keyed = new Map();
  const plain = [];
  for (const entry of entries) {
    const key = keyOf(entry.node);
    if (key === undefined || keyed.has(key)) plain.push(entry);
    else keyed.set(key, entry);
  }
  return { keyed, plain };
}

function takeOld(node, keyed, plain) {
  const key = keyOf(node);
  if (key !== undefined) {
    const entry = keyed.get(key);
    if (!entry || tagOf(entry.node) !== node.tag) return undefined;
    keyed.delete(key);
    return entry;
  }
  const index = plain.findIndex((entry) => keyOf(entry.node) === undefined && tagOf(entry.node) === tagOf(node));
  return index < 0 ? undefined : plain.splice(index, 1)[0];
}

function create(node, svg) {
  if (typeof node !== "object") return { node, el: document.createTextNode(String(node)) };
  const inSvg = svg || node.tag === "svg";
  const el = inSvg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  const entry = { node, el };
  if (node.props.hook) {
    setAll(el, node.props, {});
    // After it is in the page, where it has a size.
    queueMicrotask(() => node.props.hook.mount(el, entry.node.props.data));
  } else {
    render(el, node.children);
    setAll(el, node.props, {});
  }
  return entry;
}

function update(entry, node) {
  const before = entry.node;
  entry.node = node;
  if (typeof node !== "object") {
    if (before !== node) entry.el.data = String(node);
    return;
  }
  if (node.props.hook) node.props.hook.update?.(entry.el, node.props.data);
  else render(entry.el, node.children);
  setAll(entry.el, node.props, before.props);
}

function remove(entry) {
  unmount(entry);
  entry.el.remove();
}

function unmount(entry) {
  if (typeof entry.node !== "object") return;
  entry.node.props.hook?.unmount?.(entry.el);
  for (const child of entry.el.$entries ?? []) unmount(child);
}

function setAll(el, props, before) {
  for (const name in before) if (!(name in props)) set(el, name, undefined, before[name]);
  for (const name in props) set(el, name, props[name], before[name]);
}

function set(el, name, value, before) {
  if (name === "key" || name === "hook" || name === "data") return;
  if (name.startsWith("on")) el[name] = value ?? null;
  else if (name === "style") setStyle(el, value ?? {}, before ?? {});
  else if (name === "initial") { if (before === undefined) el.value = value; }
  else if (name === "value" || name === "checked" || name === "indeterminate") { if (el[name] !== value) el[name] = value ?? ""; }
  else if (value === before) return;
  else if (value == null || value === false) el.removeAttribute(name);
  else el.setAttribute(name, value === true ? "" : value);
}

// Through the CSSOM: the page's policy allows no style attributes.
function setStyle(el, style, before) {
  for (const name in before) if (!(name in style)) el.style.removeProperty(name);
  for (const name in style) if (style[name] !== before[name]) el.style.setProperty(name, style[name]);
}
