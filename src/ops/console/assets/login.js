// The login page: sends the form and says why it was rejected. Without this script the form is sent as it is.

import { applyTheme } from "./settings.js";

const form = document.querySelector("form");
const problem = document.getElementById("problem");

applyTheme();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  try {
    const response = await fetch("login", { method: "POST", body: new URLSearchParams(new FormData(form)), headers: { accept: "application/problem+json" } });
    if (response.ok) return location.replace(response.url || "index.html");
    problem.textContent = await reason(response);
  } catch {
    problem.textContent = "The server cannot be reached.";
  }
  form.elements.token.select();
});

async function reason(response) {
  const wait = response.headers.get("retry-after");
  if (response.status === 429) return `Too many attempts.${wait ? ` Try again in ${wait} s.` : ""}`;
  const body = await response.json().catch(() => ({}));
  return body.detail ?? body.title ?? "This token is not valid.";
}
