// Holds the hub to what this browser saw before. The pinned key and the last checkpoint that held stay in this browser,
// under the key itself; the hub supplies proofs and is never asked whether they hold.
//
// For other pages: `attach(element)` makes a button check one entry, `showSeal(element)` shows the last real check.
// Both are set up for `button[data-verify]` and `[data-seal]`, also in what a drawer shows later.

import { Broken, b64, bytesOf, checkUpdate, keyAt, keysOf, openCheckpoint, parseAddCheckpoint, parseReceipt, readCrossing, same } from "./verify.js";
import { Report, examineReceipt, examineWitnesses, show, signedBy } from "./report.js";

export const FRESH_MS = 10 * 60 * 1000; // older than this is not green any more
const CROSSINGS_MAX = 32, TIMEOUT_MS = 15000, CHANGED = "lintas:checked";

// ------------------------------------------------------------------------------------------- what this browser remembers

const PIN = "lintas:pin", PIN_BEFORE = "lintas:pin-before";
const nameOf = (what, vkey) => `lintas:${what}:${vkey}`;

export function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null; // no memory allowed, or not ours: as if nothing was remembered
  }
}
const write = (name, value) => localStorage.setItem(name, JSON.stringify(value));

export const pinned = () => read(PIN);
const memoryOf = (vkey) => read(nameOf("log", vkey)) ?? { root: vkey, crossings: [], seen: null };

async function ringOf({ root, crossings }) {
  let ring = await keysOf(root);
  for (const crossing of crossings) ring = await readCrossing(bytesOf(crossing), ring);
  return ring;
}

// Pins a key. One that the former pin leads to goes on from what was seen under it.
export async function pin(text) {
  const vkey = text.trim(), former = pinned() ?? read(PIN_BEFORE);
  await keysOf(vkey);
  if (former && former !== vkey) {
    const memory = memoryOf(former), known = await ringOf(memory);
    if (known.some((each) => each.key.text === vkey)) write(nameOf("log", vkey), memory);
  }
  write(PIN, vkey);
}

export function unpin() {
  write(PIN_BEFORE, pinned());
  localStorage.removeItem(PIN);
}

// ----------------------------------------------------------------------------------------------------------- asking the hub

async function ask(address) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// Opens a checkpoint, asking for the keys that followed where the known ones do not fit it.
async function openNewest(note, memory) {
  let ring = await ringOf(memory), crossings = memory.crossings;
  for (let count = 0; count < CROSSINGS_MAX; count += 1) {
    try {
      return { tree: await openCheckpoint(note, ring), ring, crossings };
    } catch (fault) {
      if (!(fault instanceof Broken)) throw fault;
      const crossing = await ask(`/console/integrity/key/${ring.at(-1).key.id}`);
      if (!crossing) throw fault;
      ring = await readCrossing(crossing, ring);
      crossings = [...crossings, new TextDecoder().decode(crossing)];
    }
  }
  throw new Broken("The keys of the log follow each other without end.");
}

// Checks the newest checkpoint against the pinned key and against what this browser saw before. Keeps what holds, and
// evidence of what does not: the first of it stays until somebody forgets it by hand.
export async function checkLog(shownKey) {
  const report = new Report(), vkey = pinned(), memory = memoryOf(vkey ?? shownKey);
  const seen = vkey && memory.seen ? bytesOf(memory.seen) : null;
  let body = null, isCrossed = false;
  const found = await report.step("The newest checkpoint is signed by the log", async () => {
    const known = seen ? await openCheckpoint(seen, await ringOf(memory)) : null;
    body = (await ask(`/console/integrity/update?old=${known?.size ?? 0}`)) ?? (await ask("/console/integrity/update?old=0"));
    if (!body) throw new Error("the hub shows no checkpoint");
    const value = await openNewest(parseAddCheckpoint(body).checkpoint, memory);
    isCrossed = Boolean(vkey) && keyAt(value.ring, value.tree.size).text !== vkey;
    return { value: { ...value, known }, detail: signedBy(value.tree, value.ring) };
  });
  if (found && seen) {
    await report.step("It extends what this browser saw before", async () => {
      if (found.tree.size < found.known.size) throw new Broken(`The hub shows a log of ${found.tree.size} entries; this browser saw ${found.known.size}. It was rolled back.`);
      await checkUpdate(seen, body, found.ring);
      return { detail: `from ${found.known.size} entries, last seen ${new Date(memory.at).toISOString().slice(0, 19)}Z` };
    });
  } else if (found) {
    report.notes.push(vkey ? "what was in the log before: this is the first visit with this key" : "what was in the log before: nothing is remembered until a key is pinned");
  }
  if (isCrossed) report.notes.push("that two administrators ordered the change of the log's key: compare the new one over another channel, then pin it (`lintas` checks the order)");
  const isPinned = Boolean(vkey) && !isCrossed, verdict = report.verdict(isPinned);
  if (vkey && found && !report.has("broken", "failed")) {
    // What was crossed to counts for this look, but what was seen is remembered: the next look must extend it.
    write(nameOf("log", vkey), { root: memory.root, crossings: found.crossings, seen: new TextDecoder().decode(parseAddCheckpoint(body).checkpoint), at: Date.now() });
  }
  if (vkey && verdict === "broken" && !read(nameOf("evidence", vkey))) {
    write(nameOf("evidence", vkey), { at: Date.now(), why: report.steps.at(-1).detail, known: memory.seen ?? "", shown: body ? b64(body) : "" });
  }
  if (vkey) write(nameOf("result", vkey), { verdict, at: Date.now(), size: found ? String(found.tree.size) : null });
  dispatchEvent(new Event(CHANGED));
  return { report, isPinned };
}

// ---------------------------------------------------------------------------------------------------------------- the seal

// What the last real check in this browser came to: green only if it held, under the pinned key, some minutes ago.
export function sealState(now = Date.now()) {
  const vkey = pinned();
  if (!vkey) return { state: "unpinned", words: "No log key is pinned in this browser" };
  const evidence = read(nameOf("evidence", vkey)), result = read(nameOf("result", vkey));
  if (evidence) return { state: "broken", words: "The log did not hold", at: evidence.at };
  if (!result) return { state: "unchecked", words: "Not checked in this browser yet" };
  if (result.verdict === "verified" && now - result.at > FRESH_MS) return { state: "stale", words: "Last check is too long ago", at: result.at };
  const words = { verified: `The log of ${result.size} entries holds`, unpinned: "The log's key has changed", unchecked: "The last check could not be made", broken: "The log did not hold" };
  return { state: result.verdict, words: words[result.verdict], at: result.at };
}

export function showSeal(element) {
  const draw = () => {
    const { state, words, at } = sealState();
    element.dataset.state = state;
    element.querySelector("[data-seal-words]").textContent = words;
    const time = element.querySelector("[data-seal-time]");
    time.textContent = at ? `in this browser at ${new Date(at).toISOString().slice(11, 19)} UTC` : "see Integrity";
    if (at) time.title = new Date(at).toISOString();
  };
  draw();
  const timer = setInterval(() => (element.isConnected ? draw() : clearInterval(timer)), 30000);
  addEventListener("storage", draw); // another window checked
  addEventListener(CHANGED, draw);
  const { state } = sealState();
  if ("auto" in element.dataset && (state === "stale" || state === "unchecked")) checkLog("");
}

// ---------------------------------------------------------------------------------------------------------------- one entry

// The keys that a receipt is checked with: those that are known, with those that followed where it needs them.
async function keysFor(report, receipt, shownKey) {
  const vkey = pinned(), memory = memoryOf(vkey ?? shownKey);
  return report.step(vkey ? "The log's key is the pinned one" : "The log's key is the one that this hub shows", async () => {
    if (!vkey && !shownKey) throw new Error("no log key is pinned in this browser. Pin it on the page Integrity.");
    const { checkpoint } = parseReceipt(receipt);
    const opened = await openNewest(checkpoint, memory).catch(() => null); // what is wrong with it, its own check says
    const ring = opened?.ring ?? (await ringOf(memory)), by = opened ? keyAt(ring, opened.tree.size) : ring.at(-1).key;
    return { value: { ring, isPinned: by.text === vkey }, detail: `${by.name}, key ${by.id}` };
  });
}

// Makes a button check one entry. It reads from `data-`:
//   receipt  address of the receipt (required)
//   log-key  the key that the hub shows, used where none is pinned; never green then (optional)
//   body     selector of the element that shows the logged bytes: they must be the receipt's (optional)
//   into     selector of the element that takes the report, `role=status` (required)
export function attach(element) {
  element.hidden = false;
  element.addEventListener("click", async () => {
    const data = element.dataset, target = document.querySelector(data.into);
    element.disabled = true;
    const report = new Report();
    const receipt = await report.step("The hub gives a receipt", async () => {
      const value = await ask(data.receipt);
      if (!value) throw new Error("the hub has none; a purged event has no receipt any more");
      return { value, detail: `${value.length} bytes` };
    });
    const keys = receipt && (await keysFor(report, receipt, data.logKey));
    const proven = keys && (await examineReceipt(report, receipt, keys.ring, null));
    if (proven && data.body) {
      await report.step("It is the event that this page shows", async () => {
        if (!same(bytesOf(document.querySelector(data.body).textContent), proven.body)) throw new Broken("The page shows other bytes than the log holds.");
        return { detail: "byte for byte" };
      });
    }
    show(target, report, keys?.isPinned);
    element.disabled = false;
  });
}

// ---------------------------------------------------------------------------------------------------------------- the page

const bytesOfFile = async (input) => (input.files.length ? new Uint8Array(await input.files[0].arrayBuffer()) : null);
const withoutFeed = (line) => (line?.at(-1) === 10 ? line.subarray(0, -1) : line);

function setUpPage(page) {
  const shownKey = page.dataset.logKey, form = page.querySelector("form[data-pin]"), outcome = page.querySelector("[data-outcome]");
  const say = page.querySelector("[data-pin-fault]");
  page.querySelectorAll("[data-scripted], [data-unscripted]").forEach((each) => (each.hidden = "unscripted" in each.dataset));
  const title = { verified: "The log holds", broken: "ALARM: the log does not hold", unpinned: "Signed by a key that is not pinned" };
  const look = async () => {
    outcome.setAttribute("aria-busy", "true");
    const { report, isPinned } = await checkLog(shownKey);
    show(outcome, report, isPinned, title);
    outcome.setAttribute("aria-busy", "false");
    draw();
  };
  const draw = () => {
    const vkey = pinned(), evidence = vkey && read(nameOf("evidence", vkey));
    page.querySelector("[data-pinned]").textContent = vkey ?? "";
    page.querySelector("[data-has-pin]").hidden = !vkey;
    form.hidden = Boolean(vkey);
    const box = page.querySelector("[data-evidence]");
    box.hidden = !evidence;
    if (!evidence) return;
    box.querySelector("[data-why]").textContent = `${new Date(evidence.at).toISOString().slice(0, 19)}Z: ${evidence.why}`;
    const file = new Blob([JSON.stringify({ keys: [vkey], ...evidence }, null, 1)], { type: "application/json" });
    box.querySelector("a[data-save]").href = URL.createObjectURL(file);
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await pin(form.elements.key.value);
      say.textContent = "";
      await look();
    } catch (fault) {
      say.textContent = fault.message;
      form.elements.key.focus();
    }
  });
  page.querySelector("[data-unpin]").addEventListener("click", () => (unpin(), look()));
  page.querySelector("[data-again]").addEventListener("click", look);
  page.querySelector("[data-forget]").addEventListener("click", () => {
    if (confirm("Forget this evidence? Save it first. The next check starts from what was seen before it.")) {
      localStorage.removeItem(nameOf("evidence", pinned()));
      dispatchEvent(new Event(CHANGED));
      draw();
    }
  });
  setUpFiles(page, shownKey);
  draw();
  look();
}

function setUpFiles(page, shownKey) {
  const form = page.querySelector("form[data-files]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const report = new Report();
    const [receipt, line, policy] = await Promise.all(["receipt", "line", "policy"].map((name) => bytesOfFile(form.elements[name])));
    const keys = await keysFor(report, receipt, shownKey);
    const proven = keys && (await examineReceipt(report, receipt, keys.ring, withoutFeed(line)));
    if (line) report.notes.push("the signature of the line: verify.html does it with the receipt of its key");
    if (proven && policy) await examineWitnesses(report, proven.checkpoint, keys.ring, policy);
    show(page.querySelector("[data-files-outcome]"), report, keys?.isPinned);
  });
}

function setUp(root) {
  root.querySelectorAll("[data-seal]").forEach(showSeal);
  root.querySelectorAll("button[data-verify]").forEach(attach);
}

const page = document.querySelector("[data-integrity]");
if (page) setUpPage(page);
setUp(document);
document.addEventListener("lintas:shown", (event) => setUp(event.detail));
