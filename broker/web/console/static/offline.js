// The saved page: what is loaded is recognised by its first bytes, then each piece is examined by itself, with what else
// is there (keys that followed, key records, lines, policies). Nothing is kept, nothing is asked of anybody.

import { Broken, b64u, bytesOf, checkUpdate, namedIn, openCheckpoint, parseAddCheckpoint, parseEvent, parseLine, parseObject, parseReceipt, sha256, unb64 } from "./verify.js";
import { Report, examineCheckpoint, examineEvidence, examineLine, examineReceipt, examineWitnesses, make, recordIn, ringFrom, show, signedBy } from "./report.js";

const KINDS = {
  receipt: "receipt", crossing: "change of the log's key", record: "key record", enrolled: "receipt of a key", line: "signed line",
  checkpoint: "checkpoint", update: "consistency proof", policy: "tlog-policy", evidence: "evidence of a browser", unknown: "not recognised",
};
const LEAST = 8; // bytes of anything that can be recognised

let pieces = [];

function recognise(bytes) {
  const text = new TextDecoder().decode(bytes);
  if (text.startsWith("c2sp.org/tlog-proof@")) return kindOfReceipt(bytes);
  if (text.startsWith("old ")) return "update";
  if (text.startsWith("{")) return text.includes('"shown"') ? "evidence" : "record";
  if (/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\n?$/.test(text)) return "line";
  if (/^[ \t]*quorum[ \t]/m.test(text)) return "policy";
  return text.includes("\n\n\u2014 ") ? "checkpoint" : "unknown";
}

function kindOfReceipt(bytes) {
  try {
    const { kind } = parseEvent(parseReceipt(bytes).body);
    return kind === "log.key" ? "crossing" : ["key.enrolled", "key.rotated"].includes(kind) ? "enrolled" : "receipt";
  } catch {
    return "receipt"; // examined as one, it says what is wrong with it
  }
}

function addPiece(name, bytes) {
  if (bytes.length < LEAST) return;
  const kind = recognise(bytes), isFed = kind === "line" && bytes.at(-1) === 10;
  pieces.push({ name, kind, bytes: isFed ? bytes.subarray(0, -1) : bytes });
}

const of = (kind) => pieces.filter((piece) => piece.kind === kind);

async function examine(vkey, isConfirmed, target) {
  const base = new Report();
  const crossings = of("crossing").map((piece) => piece.bytes).sort((a, b) => (indexIn(a) < indexIn(b) ? -1 : 1));
  const ring = vkey && (await ringFrom(base, vkey, crossings));
  if (!vkey) base.notes.push("anything: type the log's key first. It is in your invitation");
  if (!isConfirmed) base.notes.push("where this key comes from: confirm it, or nothing turns green");
  place(target, "The log's key", base, isConfirmed, { verified: "Pinned by you", unpinned: "Not pinned" });
  if (!ring) return;
  const records = await recordsBy(ring, isConfirmed, target);
  for (const { name, bytes } of of("line")) {
    const report = new Report(), record = await recordFor(bytes, records);
    await examineLine(report, bytes, record?.detail);
    if (record && !record.isProven) report.notes.push("whether that key is the party's: the record is not proven by a receipt");
    place(target, name, report, isConfirmed && Boolean(record?.isProven));
  }
  for (const { name, bytes } of of("receipt")) {
    const report = new Report();
    const found = await examineReceipt(report, bytes, ring, await lineFor(bytes));
    if (found) await witnessed(report, found.checkpoint, ring);
    place(target, name, report, isConfirmed);
  }
  for (const { name, bytes } of of("checkpoint")) {
    const report = new Report();
    if (await examineCheckpoint(report, bytes, ring)) await witnessed(report, bytes, ring);
    place(target, name, report, isConfirmed);
  }
  for (const piece of of("update")) place(target, piece.name, await examineUpdate(piece.bytes, ring), isConfirmed);
  for (const piece of of("evidence")) place(target, piece.name, await examineKept(piece.bytes, ring), isConfirmed);
  for (const { name } of of("unknown")) place(target, name, new Report(), false, { unchecked: "Not recognised" });
}

const indexIn = (receipt) => parseReceipt(receipt).index;

async function recordsBy(ring, isConfirmed, target) {
  const found = [];
  for (const { name, bytes } of of("enrolled")) {
    const report = new Report(), detail = await recordIn(report, bytes, ring);
    if (detail) found.push({ detail, isProven: true });
    place(target, name, report, isConfirmed);
  }
  for (const { name, bytes } of of("record")) {
    const report = new Report();
    const detail = await report.step("The record is an object", async () => ({ value: parseObject(bytes, "The record") }));
    if (detail) found.push({ detail, isProven: false });
    place(target, name, report, false, { unpinned: "Taken as given: not proven by the log" });
  }
  return found;
}

async function recordFor(line, records) {
  try {
    const { header } = await parseLine(line);
    return records.find(({ detail }) => detail.kid === header.kid);
  } catch {
    return undefined; // examined without, it says what is wrong
  }
}

// The line that a receipt is about; if only one line was given, that one, so that a receipt for another does not pass.
async function lineFor(receipt) {
  const lines = of("line").map((piece) => piece.bytes);
  try {
    const ids = namedIn(parseEvent(parseReceipt(receipt).body));
    for (const line of lines) if (ids.includes(b64u(await sha256(line)))) return line;
  } catch { /* the receipt says itself what is wrong with it */ }
  return lines.length === 1 ? lines[0] : null;
}

async function witnessed(report, note, ring) {
  const [policy] = of("policy");
  if (policy) await examineWitnesses(report, note, ring, policy.bytes);
  else report.notes.push("whether witnesses saw the same log: give a tlog-policy of yours");
}

async function examineUpdate(body, ring) {
  const report = new Report();
  const known = [...of("checkpoint")];
  await report.step("It leads from a checkpoint that you have", async () => {
    const { oldSize } = parseAddCheckpoint(body);
    for (const { bytes } of known) {
      const tree = await openCheckpoint(bytes, ring).catch(() => null);
      if (tree?.size !== oldSize) continue;
      const newer = await checkUpdate(bytes, body, ring);
      return { detail: `from ${oldSize} entries to ${signedBy(newer, ring)}` };
    }
    throw new Error(`load the checkpoint of ${oldSize} entries that you kept.`);
  });
  return report;
}

async function examineKept(bytes, ring) {
  const report = new Report();
  const kept = await report.step("The evidence has two checkpoints", async () => {
    const found = parseObject(bytes, "The evidence"), shown = unb64(found.shown, "What was shown");
    if (typeof found.known !== "string") throw new Broken("The evidence has no checkpoint that was known.");
    return { value: { known: bytesOf(found.known), shown: parseAddCheckpoint(shown).checkpoint, proof: shown }, detail: String(found.why ?? "") };
  });
  if (kept) await examineEvidence(report, kept, ring);
  return report;
}

function place(target, name, report, isPinned, title) {
  const box = make("div", { className: "verdict-box" });
  show(box, report, isPinned, title);
  target.append(make("section", { className: "card" }, make("h2", {}, name), box));
}

// ---------------------------------------------------------------------------------------------------------------- the page

function list(element) {
  const rows = pieces.map((piece, at) => {
    const remove = make("button", { type: "button", className: "quiet" }, "Remove");
    remove.setAttribute("aria-label", `Remove ${piece.name}`);
    remove.addEventListener("click", () => {
      pieces = pieces.filter((each, place) => place !== at);
      list(element);
    });
    const what = make("bdi", {}, piece.name);
    return make("li", { className: "row" }, make("span", { className: "state" }, KINDS[piece.kind]), what, ` ${piece.bytes.length} bytes `, remove);
  });
  element.replaceChildren(...rows);
}

const view = document.querySelector("form[data-offline]"), loaded = document.querySelector("[data-loaded]");
view.elements.files.addEventListener("change", async () => {
  for (const file of view.elements.files.files) addPiece(file.name, new Uint8Array(await file.arrayBuffer()));
  view.elements.files.value = "";
  list(loaded);
});
document.querySelector("[data-paste]").addEventListener("click", () => {
  const text = view.elements.pasted.value;
  // A line is pasted with or without the line feed of its file; everything else ends in one.
  const isLine = /^\s*[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\s*$/.test(text);
  addPiece(`pasted ${pieces.length + 1}`, bytesOf(isLine ? text.trim() : text.endsWith("\n") ? text : `${text}\n`));
  view.elements.pasted.value = "";
  list(loaded);
});
view.addEventListener("submit", async (event) => {
  event.preventDefault();
  const target = document.querySelector("[data-outcomes]");
  target.replaceChildren();
  await examine(view.elements.key.value.trim(), view.elements.confirmed.checked, target);
});
view.elements.run.disabled = false;
document.querySelector("[data-unscripted]").hidden = true;
