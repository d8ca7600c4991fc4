// A new campaign: what the text costs while it is typed, the columns of the file, the check without losing the
// file. Without this script the same forms do it. Stands after app.js, whose `policy` and `tellTimes` it uses.
"use strict";

const draft = document.getElementById("draft");
const result = document.getElementById("result");
const text = document.getElementById("text");
const file = document.getElementById("file");
const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const parsed = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");

// As campaigns/domain/segments.py counts: a pair never stands on both sides of an edge.
function count() {
  const { alphabet, extension } = text.dataset;
  const characters = [...text.value];
  const costly = new Set(characters.filter((each) => !alphabet.includes(each) && !extension.includes(each)));
  const sizes = characters.map((each) => (costly.size ? each.length : extension.includes(each) ? 2 : 1));
  const units = sizes.reduce((sum, size) => sum + size, 0);
  const [alone, joined] = costly.size ? [70, 67] : [160, 153];
  let segments = 1;
  let used = 0;
  if (units > alone)
    for (const size of sizes) {
      if (used + size > joined) [segments, used] = [segments + 1, 0];
      used += size;
    }
  const counter = document.getElementById("counter");
  const room = segments > 1 ? segments * joined : alone;
  counter.hidden = false;
  counter.textContent = fill(counter.dataset.plain, { units, room, count: segments });
  if (costly.size) counter.append("\n", fill(counter.dataset.costly, { characters: [...costly].slice(0, 12).join(" ") }));
  counter.classList.toggle("wrong", costly.size > 0);
}

async function post(path, fields) {
  const answer = await fetch(path, { method: "POST", body: fields });
  if (answer.redirected) location.assign(answer.url); // signed out meanwhile
  return parsed(await answer.text());
}

// The file is read as it comes, so it is sent last; people choose it first.
function filledIn() {
  const fields = new FormData(draft);
  const chosen = fields.get("file");
  fields.delete("file");
  fields.append("file", chosen);
  return fields;
}

async function findColumns() {
  if (!file.files.length) return;
  const fields = new FormData();
  fields.set("token", draft.elements.token.value);
  fields.set("file", file.files[0].slice(0, 65536));
  const found = await post("/campaigns/new/columns", fields);
  if (found.getElementById("phone_column")) document.getElementById("column").replaceChildren(...found.body.childNodes);
}

function say(sentence, kind) {
  const said = document.createElement("p");
  said.className = kind;
  said.textContent = sentence;
  result.replaceChildren(said);
}

async function check(event) {
  event.preventDefault();
  say(result.dataset.busy, "notice");
  const button = draft.querySelector("button.primary");
  button.disabled = true;
  try {
    const found = await post(draft.action, filledIn());
    const places = found.getElementById("result") ?? found.getElementById("main");
    tellTimes(places);
    result.replaceChildren(...places.childNodes);
    const again = document.getElementById("again");
    if (again && file.files.length) {
      document.getElementById("same-file").files = file.files;
      again.hidden = true;
    }
    for (const each of result.querySelectorAll("[data-replace]")) {
      each.hidden = false;
      each.addEventListener("click", () => {
        text.value = text.value.replaceAll(each.dataset.replace, each.dataset.with);
        count();
        draft.requestSubmit();
      });
    }
    result.focus();
  } catch {
    say(result.dataset.broken, "alert bad");
  }
  button.disabled = false;
}

// What is confirmed is what was checked: after a change it must be checked again.
function forget() {
  if (document.getElementById("confirm")) say(result.dataset.stale, "alert");
}

function inReadersZone(input) {
  const sent = document.createElement("input");
  sent.type = "hidden";
  sent.name = input.name;
  input.removeAttribute("name");
  const tell = () => (sent.value = input.value && new Date(input.value).toISOString());
  if (input.value) {
    const at = new Date(`${input.value}Z`);
    input.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  }
  tell();
  input.before(sent);
  input.addEventListener("input", tell);
  draft.querySelector(`[for="${input.id}"] [data-zone]`).textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}

if (draft) {
  for (const input of draft.querySelectorAll("[data-moment]")) inReadersZone(input);
  document.getElementById("recipients").prepend(document.getElementById("choose"));
  count();
  text.addEventListener("input", count);
  file.addEventListener("change", findColumns);
  draft.addEventListener("input", forget);
  draft.addEventListener("submit", check);
}
