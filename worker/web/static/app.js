// The dashboard's one script. Every page works without it: it tells times in the reader's zone, and has the
// parts of a page that change told anew.
"use strict";

const policy = window.trustedTypes
  ? trustedTypes.createPolicy("parts", { createHTML: (html) => html })
  : { createHTML: (html) => html };

// --- times ---

const language = document.documentElement.lang;
const FORMS = {
  short: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  time: { hour: "2-digit", minute: "2-digit" },
  exact: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
};
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });

function tellTimes(root) {
  for (const time of root.querySelectorAll("time[data-form]")) {
    const at = new Date(time.dateTime);
    const form = new Intl.DateTimeFormat(language, { hourCycle: "h23", ...FORMS[time.dataset.form] });
    time.textContent = form.format(at);
    time.title = exact.format(at);
  }
}

tellTimes(document);

// --- what changes ---

const main = document.querySelector("main[data-live]");
let source = null;
let seen = main?.dataset.live;

// What a reader is at stays: the focus, and what is folded open.
function replacePart(place, html) {
  const focused = place.contains(document.activeElement) && document.activeElement.id;
  const open = [...place.querySelectorAll("details[open][id]")].map((details) => details.id);
  const parsed = new DOMParser().parseFromString(policy.createHTML(html), "text/html");
  tellTimes(parsed);
  place.replaceChildren(...parsed.body.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function take(event) {
  seen = event.lastEventId;
  for (const [name, html] of Object.entries(JSON.parse(event.data))) {
    const place = main.querySelector(`[data-part="${name}"]`);
    if (place) replacePart(place, html);
  }
}

function watch() {
  const address = new URL(location.href);
  address.searchParams.set("seen", seen);
  source = new EventSource(address);
  source.addEventListener("status", take);
  source.addEventListener("end", (event) => {
    take(event);
    leave();
    main.removeAttribute("data-live");
  });
}

function leave() {
  source?.close();
  source = null;
}

// A page that nobody sees asks nothing.
function look() {
  if (document.hidden) leave();
  else if (!source && main?.hasAttribute("data-live")) watch();
}

if (main) {
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", leave);
  look();
}
