// Numbers, durations and times as people read them: at most three significant digits, a unit, the same width for each digit.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const NONE = "–";

// Formats a rate or another measured number.
export function number(value) {
  if (value == null || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.001) return value.toExponential(1);
  if (size >= 1e9) return `${threeDigits(value / 1e9)} G`;
  if (size >= 1e6) return `${threeDigits(value / 1e6)} M`;
  if (size >= 1e5) return `${threeDigits(value / 1e3)} k`;
  return threeDigits(value);
}

// Formats a count, exact up to a million.
export function count(value) {
  if (value == null) return NONE;
  return Math.abs(value) < 1e6 ? grouped.format(value) : number(value);
}

// Formats a ratio from 0 to 1 as a percentage.
export function percent(ratio) {
  return ratio == null ? NONE : `${percentNumber(ratio)} %`;
}

export const percentNumber = (ratio) => (ratio > 0 && ratio < 0.0001 ? "< 0.01" : number(Number((ratio * 100).toFixed(2))));

// Splits a duration into its number and its unit.
export function durationParts(seconds) {
  if (seconds == null) return [NONE, ""];
  const size = Math.abs(seconds);
  if (size === 0) return ["0", "s"];
  if (size < 1e-6) return [threeDigits(seconds * 1e9), "ns"];
  if (size < 1e-3) return [threeDigits(seconds * 1e6), "µs"];
  if (size < 0.9995) return [threeDigits(seconds * 1e3), "ms"];
  if (size < 60) return [threeDigits(seconds), "s"];
  if (size < 3600) return [threeDigits(seconds / 60), "min"];
  if (size < 86400) return [threeDigits(seconds / 3600), "h"];
  return [threeDigits(seconds / 86400), "d"];
}

export const duration = (seconds) => durationParts(seconds).filter(Boolean).join(" ");

// Formats a time span that people count along with: "4.2 s", "12 min", "3 d 04:12".
export function span(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const days = Math.floor(seconds / 86400);
  const clock = `${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}`;
  return days ? `${days} d ${clock}` : `${clock} h`;
}

// Formats how long ago something was.
export function ago(at, now) {
  if (at == null) return NONE;
  const seconds = Math.max(0, now - at);
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

// Formats a moment as local time; of another day with its date.
export function clock(at, now) {
  if (at == null) return NONE;
  const date = new Date(at * 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const isToday = now == null || date.toDateString() === new Date(now * 1000).toDateString();
  return isToday ? time : `${two(date.getMonth() + 1)}-${two(date.getDate())} ${time.slice(0, 5)}`;
}

// Formats a moment with date and zone, for titles.
export function fullTime(at) {
  if (at == null) return "";
  return new Date(at * 1000).toLocaleString("sv-SE", { timeZoneName: "longOffset" });
}

export function bytes(value) {
  if (value == null) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let index = 0;
  while (Math.abs(value) >= 1000 && index < units.length - 1) { value /= 1000; index++; }
  return `${threeDigits(value)} ${units[index]}`;
}

// Formats a value of a metric by its unit.
export function withUnit(value, unit) {
  if (unit === "seconds") return duration(value);
  if (unit === "bytes") return bytes(value);
  if (unit === "ratio") return percent(value);
  return number(value);
}

// Turns the name of a state, kind or reason into words.
export const words = (name) => String(name ?? "").replaceAll("_", " ");

// Counts in words: "1 guard", "2 guards".
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const two = (n) => String(n).padStart(2, "0");

function threeDigits(value) {
  const size = Math.abs(value);
  if (size >= 1000) return grouped.format(Number(value.toPrecision(3)));
  return String(Number(value.toPrecision(3)));
}
