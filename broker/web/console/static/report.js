// A report of checks: each step with its outcome, one verdict over all. Builds elements, never markup from text.
//
// The verdict is "verified" only if every step holds and the log's key is pinned; "broken" if one does not hold;
// "unpinned" if all hold by a key that nobody pinned; "unchecked" if something could not be checked at all.

import { Broken, b64, checkInclusion, checkLine, checkReceipt, hex, judgeConflict, judgeWitnesses, keyAt, keysOf, leafOf, openCheckpoint, parseEvent, parseLine, parsePolicy, parseReceipt, readCrossing, sha256 } from "./verify.js";

export class Report {
  steps = [];
  notes = []; // what was not checked, in words
  isPartial = false; // what was asked for could not be checked with what was given

  // Runs a check and keeps what it says; returns its value, or undefined. After a broken step the rest is left out.
  async step(name, run) {
    if (this.has("broken", "failed")) return undefined;
    try {
      const { value, detail = "" } = await run();
      this.steps.push({ name, state: "holds", detail });
      return value;
    } catch (fault) {
      const isBroken = fault instanceof Broken;
      const why = isBroken ? fault.message : `This could not be checked here: ${fault.message}`;
      this.steps.push({ name, state: isBroken ? "broken" : "failed", detail: why });
      return undefined;
    }
  }

  has(...states) {
    return this.steps.some((step) => states.includes(step.state));
  }

  verdict(isPinned) {
    if (this.has("broken")) return "broken";
    if (this.has("failed") || this.isPartial || !this.steps.length) return "unchecked";
    return isPinned ? "verified" : "unpinned";
  }
}

export const WORDS = {
  verified: "Verified",
  broken: "Does not hold",
  unpinned: "Consistent, but by a key that is not pinned",
  unchecked: "Not checked",
};
const ICONS = { verified: "✓", broken: "✕", unpinned: "○", unchecked: "○", holds: "✓", failed: "○" };

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// Shows a report in an element. `role=status` is set by the page, so that the verdict is read out.
export function show(element, report, isPinned, title) {
  const verdict = report.verdict(isPinned);
  const steps = report.steps.map((step) => make("li", { className: `step ${step.state}` },
    make("span", { className: "mark", "aria-hidden": "true" }, ICONS[step.state]),
    make("div", {}, make("strong", {}, step.name), make("span", { className: "unseen" }, step.state === "holds" ? " (holds)" : " (does not hold)"), make("p", {}, step.detail))));
  const notes = report.notes.map((text) => make("li", {}, text));
  element.replaceChildren(
    make("div", { className: `verdict ${verdict}` }, make("span", { className: "mark", "aria-hidden": "true" }, ICONS[verdict]),
      make("div", {}, make("strong", {}, title?.[verdict] ?? WORDS[verdict]), make("p", {}, summary(report, verdict)))),
    ...(steps.length ? [make("ol", { className: "steps" }, ...steps)] : []),
    ...(notes.length ? [make("p", { className: "muted" }, "Not checked here:"), make("ul", { className: "unsaid" }, ...notes)] : []));
  element.dataset.verdict = verdict;
  return verdict;
}

function summary(report, verdict) {
  const held = report.steps.filter((step) => step.state === "holds").length;
  if (verdict === "broken") return "Keep these bytes, and ask the hub's administrators about them over another channel.";
  if (verdict === "unchecked") return "Nothing follows from this, good or bad.";
  const all = `${held} ${held === 1 ? "check" : "checks"} held on this machine`;
  return verdict === "verified" ? `${all}.` : `${all}, by a key that this page was only shown. Pin the one from your invitation.`;
}

// ------------------------------------------------------------------------------------------------- what can be examined

export const short = (bytes) => `${b64(bytes).slice(0, 12)}…`;
export const dated = (seconds) => new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");

// The keys of the log from the pinned one, over the crossings that came with the files.
export async function ringFrom(report, vkey, crossings) {
  return report.step("The key of the log is well formed", async () => {
    let ring = await keysOf(vkey.trim());
    for (const crossing of crossings) ring = await readCrossing(crossing, ring);
    const changes = ring.length > 1 ? `, changed ${ring.length - 1} times since, each time announced by the former key` : "";
    return { value: ring, detail: `${ring[0].key.name}, key ${ring[0].key.id}${changes}` };
  });
}

export const signedBy = (tree, ring) => `${tree.size} entries, root ${short(tree.root)}, signed with key ${keyAt(ring, tree.size).id}`;

export async function examineCheckpoint(report, note, ring) {
  return report.step("The checkpoint is signed by the log", async () => {
    const tree = await openCheckpoint(note, ring);
    return { value: tree, detail: signedBy(tree, ring) };
  });
}

export async function examineReceipt(report, receipt, ring, line) {
  const parts = await report.step("The receipt is well formed", async () => {
    const value = parseReceipt(receipt);
    return { value, detail: `entry ${value.index}, ${value.proof.length} hashes` };
  });
  if (!parts) return undefined;
  const tree = await examineCheckpoint(report, parts.checkpoint, ring);
  const entry = await report.step("The digest of the event is the entry", async () => {
    if (!parts.body) throw new Broken("The receipt has no event: it proves an entry to one who has the event already.");
    return { value: await sha256(parts.body), detail: `SHA-256 ${hex(await sha256(parts.body))}` };
  });
  await report.step("The entry is in that log", async () => {
    await checkInclusion(await leafOf(parts.body), parts.index, tree.size, parts.proof, tree.root);
    return { detail: `${parts.proof.length} hashes lead from entry ${parts.index} to root ${short(tree.root)}` };
  });
  const event = await report.step("The event can be read", async () => {
    const value = parseEvent(parts.body);
    return { value, detail: `${value.kind} of ${value.party}, number ${value.party_seq} of that party, at ${dated(Math.floor(value.time / 1e6))} by the hub's clock` };
  });
  if (line && event) {
    await report.step("The event is about this line", async () => {
      const { id } = await parseLine(line);
      await checkReceipt(receipt, id, ring);
      return { detail: `line ${id}` };
    });
  } else {
    report.notes.push("whether the event is about a certain line: give the line as well");
  }
  report.notes.push("that the time in the event is right: it is the hub's word, unless witnesses saw the log before");
  return entry && event ? { ...parts, tree, event } : undefined;
}

export async function examineLine(report, line, record) {
  const found = await report.step("The line is well formed", async () => {
    const value = await parseLine(line);
    return { value, detail: `${value.header.typ} of ${value.header.iss}, id ${value.id}` };
  });
  if (!record) {
    report.isPartial = true;
    report.notes.push("the signature of the line: give the receipt of the event that enrolled its key, or the record of the key");
    return found;
  }
  await report.step("The line is signed by its party", async () => {
    await checkLine(line, record);
    return { detail: `Ed25519, key ${record.kid} of ${record.agency}` };
  });
  report.notes.push("whether that key was active when the line was logged: this needs the whole log (`lintas` does it)");
  return found;
}

// The record of a key from a receipt of the event that enrolled it: proven like every other event.
export async function recordIn(report, receipt, ring) {
  const found = await examineReceipt(report, receipt, ring, null);
  return report.step("The event tells a key", async () => {
    if (!["key.enrolled", "key.rotated"].includes(found.event.kind)) throw new Broken(`It is a ${found.event.kind} event.`);
    return { value: found.event.detail, detail: `key ${found.event.detail.kid} of ${found.event.detail.agency}` };
  });
}

export async function examineWitnesses(report, note, ring, policyFile) {
  await report.step("Enough witnesses cosigned the checkpoint", async () => {
    const found = await judgeWitnesses(note, ring, await parsePolicy(policyFile));
    const seen = found.cosignatures.map((each) => `${each.name} at ${dated(each.time)}`).join(", ") || "nobody";
    if (!found.isEnough) throw new Broken(`By your policy they are not enough: ${seen}.`);
    return { detail: seen };
  });
}

export async function examineEvidence(report, conflict, ring) {
  await report.step("The two checkpoints fit each other", async () => {
    const outcome = await judgeConflict(conflict, ring);
    if (outcome === "forked") throw new Broken("The log has forked: one key signed two histories. This proves it to everybody.");
    if (outcome === "unproven") throw new Error("they prove no fork by themselves. A hub that showed less than before has to give the proof between them.");
    return { detail: "They are the same." };
  });
}
