// The page: lines in, text out. Data gets into the page by textContent only.

import { candidates, common } from "./complete.js";
import { clean, shown } from "./format.js";
import { ask, listen } from "./protocol.js";

const KEPT = 1000;      // entries of the output
const REMEMBERED = 500; // lines of the history
const FINAL = new Set(["done", "failed", "cancelled", "interrupted"]);
const HISTORY = `hubkernel terminal ${location.pathname}`;

const at = (id) => document.getElementById(id);
const [output, line, prompt, hints, link] = ["output", "line", "prompt", "candidates", "link"].map(at);
const jobs = new Map();  // the running jobs of this page, by id
let registry = {};
let question = null;     // the job that the next line may cancel
let leaving = false;     // Esc was pressed: Tab moves on

// ------------------------------------------------------------------------------------------------------------- output

/** Change the page; who reads the end of the output goes on reading its end. */
function atEnd(change) {
  const there = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  change();
  if (there) output.scrollTop = output.scrollHeight;
}

function put(element, where = output) {
  atEnd(() => {
    where.append(element);
    while (output.childElementCount > KEPT) output.firstElementChild.remove();
  });
}

function hint(text) {
  atEnd(() => { hints.textContent = text; });
}

function pre(text, kind) {
  const element = document.createElement("pre");
  element.className = kind;
  element.textContent = text;
  if (kind === "table") element.tabIndex = 0;  // wide ones are scrolled by keyboard too
  return element;
}

function print(text, kind, where) {
  if (text) put(pre(clean(text), kind), where);
}

function printValue(value, where) {
  const { text, table } = shown(value);
  if (text) put(pre(text, table ? "table" : "text"), where);
}

// --------------------------------------------------------------------------------------------------------------- jobs

function follow(record, where) {
  const element = document.createElement("div");
  const text = pre("", "note");
  const bar = document.createElement("progress");
  element.className = "job";
  element.setAttribute("aria-live", "off");  // only how it ends is read out
  bar.setAttribute("aria-label", `job ${record.id}`);
  element.append(text, bar);
  jobs.set(record.id, { record, element, text, bar });
  put(element, where);
  draw(record);
}

function draw(record) {
  const job = jobs.get(record.id);
  if (job === undefined) return;
  job.record = record;
  const share = record.total > 0 ? Math.min(1, record.done / record.total) : null;
  if (share === null) job.bar.removeAttribute("value");
  else job.bar.value = share;
  const amount = share !== null ? `${Math.floor(100 * share)}%` : record.message ? "" : record.done || "";
  job.text.textContent = clean(
    [`[${record.id}]`, record.state, record.command, amount, record.message].filter((part) => part !== "").join(" "),
  );
}

/** How a job stands now, and its end if it has ended. */
async function look(id) {
  const found = await ask("GET", `jobs/${id}`);
  if (FINAL.has(found.job.state)) end(found.job);
  else draw(found.job);
}

function end(record) {
  const job = jobs.get(record.id);
  if (job === undefined) return;
  jobs.delete(record.id);
  job.element.remove();
  if (question === record.id) answer("");
  const head = `[${record.id}] ${record.state}${took(record)} ${record.command}`;
  print(head, record.state === "done" ? "done" : "error");
  if (record.state === "done") printValue(record.result);
  else print(record.error ?? "", "error");
}

function took(record) {
  const begun = record.started ?? record.created;
  return record.finished ? ` (${(record.finished - begun).toFixed(1)} s)` : "";
}

function lookAtAll() {
  for (const id of jobs.keys()) look(id).catch(() => {});  // asked again at the next attempt
}

function heard(event) {
  if (event.entity !== "job" || !jobs.has(event.id)) return;
  if (FINAL.has(event.data?.state)) end(event.data);
  else if (event.data) draw(event.data);
}

// -------------------------------------------------------------------------------------------------------------- lines

async function run(text) {
  const entry = document.createElement("div");  // answers stand below their line, whichever comes first
  put(entry);
  print(`❯ ${text}`, "input", entry);
  remember(text);
  try {
    const found = await ask("POST", "call/run", { args: [text] });
    if (found.job === undefined) return printValue(found.result, entry);
    follow(found.job, entry);
    await look(found.job.id);  // what happened since that answer was written
  } catch (error) {
    print(error.message, "error", entry);
  }
}

function offerToCancel(id) {
  question = id;
  prompt.firstElementChild.textContent = `Cancel job ${id}? y/n`;
  prompt.lastElementChild.textContent = `Cancel job ${id}, yes or no`;
  line.value = "";
}

function answer(text) {
  const id = question;
  question = null;
  prompt.firstElementChild.textContent = "❯";
  prompt.lastElementChild.textContent = "Command";
  if (!/^\s*y(es)?\s*$/i.test(text)) return;
  ask("DELETE", `jobs/${id}`).then(
    (found) => print(found.cancelled ? `job ${id} is asked to end` : `job ${id} had ended`, "note"),
    (error) => print(error.message, "error"),
  );
}

function interrupt() {
  if (question !== null) answer("");
  else if (jobs.size) offerToCancel([...jobs.keys()].at(-1));
  else line.value = "";
}

// ------------------------------------------------------------------------------------------------------------ history

const lines = stored();
let place = lines.length;
let draft = "";

function stored() {
  try {
    const found = JSON.parse(sessionStorage.getItem(HISTORY) ?? "[]");
    return Array.isArray(found) ? found.map(String) : [];
  } catch {
    return [];
  }
}

function remember(text) {
  if (lines.at(-1) !== text) lines.push(text);
  lines.splice(0, lines.length - REMEMBERED);
  place = lines.length;
  try {
    sessionStorage.setItem(HISTORY, JSON.stringify(lines));
  } catch {
    // full, or not allowed here: then it lasts as long as the page
  }
}

function recall(step) {
  if (place === lines.length) draft = line.value;
  place = Math.max(0, Math.min(lines.length, place + step));
  line.value = lines[place] ?? draft;
  line.setSelectionRange(line.value.length, line.value.length);
}

// --------------------------------------------------------------------------------------------------------- completion

/** Returns false where there is nothing to complete: then Tab moves on as it does elsewhere. */
function complete() {
  const cursor = line.selectionStart;
  const before = line.value.slice(0, cursor);
  if (!before.trim()) return false;
  const { begin, found } = candidates(registry, before);
  hint(found.length > 1 ? found.join("  ") : found.length ? "" : "nothing begins like this");
  if (!found.length) return true;
  const ending = found.length === 1 && /\w$/.test(found[0]) ? " " : "";
  line.setRangeText(common(found) + ending, begin, cursor, "end");
  return true;
}

// --------------------------------------------------------------------------------------------------------------- keys

const KEYS = {
  Enter: () => {
    const text = line.value.trim();
    line.value = "";
    if (question !== null) answer(text);
    else if (text) run(text);
  },
  ArrowUp: () => recall(-1),
  ArrowDown: () => recall(1),
  Escape: () => { leaving = true; },
};
const WITH_CONTROL = {
  l: () => {
    for (const entry of [...output.children]) if (!entry.querySelector(".job")) entry.remove();
  },
  c: interrupt,
};

function pressed(event) {
  if (event.isComposing || event.altKey || event.metaKey) return;
  if (event.key === "Tab") {
    if (!event.shiftKey && !leaving && complete()) event.preventDefault();
    return;
  }
  leaving = false;
  hint("");
  const copies = event.key === "c" && (line.selectionStart !== line.selectionEnd || String(getSelection()));
  const action = event.ctrlKey ? WITH_CONTROL[event.key] : event.shiftKey ? undefined : KEYS[event.key];
  if (action === undefined || copies) return;
  event.preventDefault();
  action();
}

line.addEventListener("keydown", pressed);
line.addEventListener("blur", () => { leaving = false; });
at("form").addEventListener("submit", (event) => event.preventDefault());

// -------------------------------------------------------------------------------------------------------------- begin

async function begin() {
  const hub = await ask("GET", "hub");
  document.title = clean(`${hub.name}: terminal`);
  at("name").textContent = clean(hub.name);
  at("where").textContent = clean(`${hub.home} · ${hub.user}, ${hub.role}`);
  registry = await ask("GET", "registry");
}

let lost = false;  // another hub may be there once the connection is back

const tryToBegin = () => begin().catch((error) => print(error.message, "error"));

tryToBegin();
listen({
  onEvent: heard,
  onLink: (there) => {
    link.textContent = there ? "connected" : "no connection; trying again …";
    if (there && lost) tryToBegin();
    lost = !there;
  },
  onLost: lookAtAll,
});
line.focus();
