// Requests to the JSON API, and the answers that views show. All addresses are relative to the page.

import { changed, isPaused } from "./store.js";

// A failed request: what the server said in its problem document, or that it cannot be reached.
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered with status ${status}.`);
    this.status = status;
    this.field = problem.field;
  }
}

export async function get(path) {
  return answer(await send(path, { cache: "no-store" }));
}

export async function post(path, body) {
  return answer(await send(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));
}

async function send(path, options) {
  try {
    return await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw new ApiError(0, { detail: "The server cannot be reached." });
  }
}

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body);
  return body;
}

// Answers by path. Views ask in each drawing; what was not asked for in a minute is dropped.
const answers = new Map();
const KEPT_FOR = 60_000;

// Returns what the server said to a GET: `{ data, error, loading }`, asked again when older than `seconds`.
export function use(path, seconds) {
  let entry = answers.get(path);
  if (!entry) answers.set(path, (entry = { data: undefined, error: undefined, loading: false, at: 0 }));
  entry.usedAt = Date.now();
  const isOld = Date.now() - entry.at > seconds * 1000;
  if (!entry.loading && isOld && (!isPaused() || entry.at === 0)) load(path, entry);
  return entry;
}

// Asks again for all paths that begin with `prefix`.
export function refresh(prefix) {
  for (const [path, entry] of answers) if (path.startsWith(prefix) && !entry.loading) load(path, entry);
}

async function load(path, entry) {
  entry.loading = true;
  try {
    entry.data = await get(path);
    entry.error = undefined;
  } catch (error) {
    entry.error = error;
  }
  entry.loading = false;
  entry.at = Date.now();
  for (const [key, other] of answers) if (Date.now() - other.usedAt > KEPT_FOR) answers.delete(key);
  changed();
}
