// What this browser remembers: theme and rate. Without storage (a strict browser) only until the page is closed.

const kept = new Map();

// Returns a setting, or changes it if a value is passed.
export function setting(name, value) {
  const key = `tower-keep.${name}`;
  if (value !== undefined) {
    kept.set(key, String(value));
    try { localStorage.setItem(key, String(value)); } catch { /* Only for now. */ }
    return value;
  }
  if (kept.has(key)) return kept.get(key);
  try { return localStorage.getItem(key); } catch { return null; }
}

export function applyTheme() {
  const asked = new URLSearchParams(location.search).get("theme");
  const theme = asked ?? setting("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}

export const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

export function toggleTheme() {
  document.documentElement.dataset.theme = setting("theme", isDark() ? "light" : "dark");
}
