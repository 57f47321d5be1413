"use strict";
/* Everything works without this file. It refreshes the live part of a page, keeps the session, and asks before some
   actions. */

const EVERY_MS = 5000;
const RETRY_MS = 15000;
const signInPath = document.querySelector('meta[name="ops-sign-in"]').content;

/* --- the session ----------------------------------------------------------------------------------------------- */

/** Exchanges the refresh token once in ten seconds at most, so that a refused page cannot start a loop. */
async function renewSession() {
  if (Date.now() - Number(sessionStorage.getItem("ops-renewed") || 0) < 10000) return false;
  sessionStorage.setItem("ops-renewed", String(Date.now()));
  try {
    return (await fetch("/ops/refresh", { method: "POST" })).ok;
  } catch {
    return false;
  }
}

async function signInAgain() {
  const here = location.pathname + location.search;
  if (await renewSession()) location.replace(here);
  else location.replace(`${signInPath}?next=${encodeURIComponent(here)}`);
}

if (document.body.hasAttribute("data-needs-sign-in")) signInAgain();

// On a small screen the navigation scrolls sideways.
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

/* --- actions ---------------------------------------------------------------------------------------------------- */

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

/* --- the live part ---------------------------------------------------------------------------------------------- */

const live = () => document.getElementById("live");
const state = document.getElementById("live-state");
const toggle = document.getElementById("live-toggle");
let paused = false;
let timer = 0;

function say(text, kind) {
  state.textContent = text;
  state.className = `live-state ${kind}`;
}

function schedule(milliseconds) {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(refresh, milliseconds);
}

/** Whether a refresh would take something away from the person: the focus, or a selected text. */
function isInUse() {
  const selection = document.getSelection();
  return (
    live().contains(document.activeElement) ||
    document.getElementById("actions").contains(document.activeElement) ||
    (selection && !selection.isCollapsed && live().contains(selection.anchorNode))
  );
}

function refresh() {
  if (isInUse()) schedule(EVERY_MS);
  else htmx.trigger(live(), "refresh");
}

function openDetails() {
  return [...live().querySelectorAll("details[open][id]")].map((each) => each.id);
}

if (state && toggle) {
  let opened = [];
  state.hidden = toggle.hidden = false;
  say("Live", "ok");
  toggle.addEventListener("click", () => {
    paused = !paused;
    toggle.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused" : "Live", paused ? "muted" : "ok");
    if (paused) clearTimeout(timer);
    else refresh();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : schedule(0)));
  document.addEventListener("htmx:beforeSwap", () => (opened = openDetails()));
  document.addEventListener("htmx:afterSettle", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    say("Live", "ok");
    schedule(EVERY_MS);
  });
  for (const name of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, () => {
      say("The server does not respond", "bad");
      schedule(RETRY_MS);
    });
  }
  document.addEventListener("htmx:responseError", async (event) => {
    if (event.detail.xhr.status !== 401) {
      say(`The server responds with an error (${event.detail.xhr.status})`, "bad");
      schedule(RETRY_MS);
    } else if (await renewSession()) {
      schedule(0);
    } else {
      signInAgain();
    }
  });
  schedule(EVERY_MS);
}
