// Opens cosigned checkpoints with nothing but Node: an implementation of C2SP signed-note, tlog-checkpoint and
// tlog-cosignature that shares no line with Lintas. Reads questions as JSON, answers as JSON.
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");

function parseKey(vkey) {
  const [, name, id, data] = /^([^+ ]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey);
  const typed = Buffer.from(data, "base64");
  const digest = createHash("sha256").update(name).update("\n").update(typed).digest();
  if (digest.subarray(0, 4).toString("hex") !== id) throw new Error("the key id is not that of the key");
  const key = createPublicKey({ key: Buffer.concat([ED25519_SPKI, typed.subarray(1)]), format: "der", type: "spki" });
  return { name, id, algorithm: typed[0], key };
}

function parseNote(note) {
  const end = note.lastIndexOf("\n\n");
  if (end < 0 || !note.endsWith("\n")) throw new Error("this is no note");
  const lines = note.slice(end + 2, -1).split("\n").map((line) => {
    const found = /^\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
    if (!found) throw new Error("this is no signature line");
    const data = Buffer.from(found[2], "base64");
    if (data.toString("base64") !== found[2]) throw new Error("this is not canonical base64");
    return { name: found[1], id: data.subarray(0, 4).toString("hex"), data: data.subarray(4) };
  });
  return { text: note.slice(0, end + 1), lines };
}

function open({ note, log, witnesses }) {
  const { text, lines } = parseNote(note);
  const keys = [log, ...witnesses].map(parseKey);
  const times = {};
  let isLogged = false;
  for (const line of lines) {
    const known = keys.find((key) => key.name === line.name && key.id === line.id);
    if (!known) continue;
    if (known.algorithm === 1) {
      if (!verify(null, Buffer.from(text), known.key, line.data)) throw new Error(`bad signature by ${known.name}`);
      isLogged = true;
    } else {
      if (line.data.length !== 72) throw new Error(`bad cosignature by ${known.name}`);
      const time = line.data.readBigUInt64BE(0);
      const message = Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
      if (!verify(null, message, known.key, line.data.subarray(8))) throw new Error(`bad cosignature by ${known.name}`);
      times[known.name] = Number(time);
    }
  }
  if (!isLogged) throw new Error("the log did not sign this");
  const [origin, size, root] = text.split("\n");
  return { origin, size: Number(size), root, times };
}

const questions = JSON.parse(readFileSync(0, "utf8"));
const answers = questions.map((question) => {
  try {
    return open(question);
  } catch (fault) {
    return { fault: String(fault.message) };
  }
});
process.stdout.write(JSON.stringify(answers));
