// Checks what a Lintas hub says, with the browser's own cryptography and nothing of the hub's word.
//
// Bytes go in; a value comes out, or `Broken` says what does not hold. Nothing here reads the page, the network, the
// clock or any memory, so the same file runs in a page, in the saved verify.html and in Node. It accepts and refuses
// what the Python of `lintas` does; tests/vectors holds both to it. Words of the vocabulary are the one thing left to
// others: an old line must verify after the words have changed.
//
// Formats: docs/spec/line.md and log.md; RFC 7515, 8032, 9162; C2SP signed-note, tlog-checkpoint, tlog-proof,
// tlog-cosignature, tlog-policy. Sizes and indexes are BigInt: they go beyond 2^53.

export class Broken extends Error {}

const NOTE_BYTES_MAX = 262144, SIGNATURES_MAX = 64, POLICY_BYTES_MAX = 65536, RECEIPT_BYTES_MAX = 262144;
const HEADER_BYTES_MAX = 4096, NAMES_MAX = 32, DEPTH_MAX = 16, DIGITS_MAX = 16;
export const LOG = 1, COSIGNATURE = 4; // algorithm bytes of a verifier key

const demand = (holds, text) => { if (!holds) throw new Broken(text); };

// ---------------------------------------------------------------------------------------------------------- encodings

export const bytesOf = (given) => (typeof given === "string" ? new TextEncoder().encode(given) : given);
const join = (...parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
};
export const same = (a, b) => a.length === b.length && a.every((byte, place) => byte === b[place]);
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const octets = (bytes) => { // one character a byte
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
};
const fromOctets = (text) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const textOf = (bytes, what) => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Broken(`${what} is not UTF-8.`);
  }
};

// RFC 4648 section 4 and 5. One spelling for each value: encoding again must give the same text.
export const b64 = (bytes) => btoa(octets(bytes));
export const b64u = (bytes) => b64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
export function unb64(text, what = "A value") {
  try {
    const bytes = fromOctets(atob(text));
    if (b64(bytes) === text) return bytes;
  } catch { /* atob says so by throwing */ }
  throw new Broken(`${what} is not canonical base64.`);
}
function unb64u(text, what) {
  demand(/^[A-Za-z0-9_-]*$/.test(text), `${what} is not base64url.`);
  const padded = text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat(-text.length & 3);
  return unb64(padded, what);
}
function decimal(text, what) {
  demand(text.length <= DIGITS_MAX && /^(?:0|[1-9][0-9]*)$/.test(text), `${what} is not a plain decimal number.`);
  return BigInt(text);
}
function hashOf(text) {
  const bytes = unb64(text, "A hash");
  demand(bytes.length === 32, "A hash is not the base64 of 32 bytes.");
  return bytes;
}

// RFC 8259 and RFC 7493, one way to read each text: JSON.parse takes the second of two members and rounds numbers.
const TOKEN = /[ \t\n\r]*(?:([{}[\],:]|true|false|null)|(-?(?:0|[1-9][0-9]*)(?![.eE]))|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"))/y;
export function parseObject(bytes, what = "The text") {
  const text = textOf(bytes, what);
  let at = 0;
  const fail = (why) => { throw new Broken(`${what} ${why}.`); };
  const next = () => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text) ?? fail("is not strict JSON");
    at = TOKEN.lastIndex;
    return found;
  };
  const expect = (...marks) => {
    const mark = next()[1];
    return marks.includes(mark) ? mark : fail("is not strict JSON");
  };
  const peek = (mark) => {
    const before = at, found = next()[1] === mark;
    if (!found) at = before;
    return found;
  };
  const string = (quoted) => {
    const value = JSON.parse(quoted);
    if (quoted.includes("\\u") && /[\0\ud800-\udfff]/u.test(value)) fail("has NUL or a lone surrogate");
    return value;
  };
  const number = (digits) => {
    const value = Number(digits);
    return Number.isSafeInteger(value) && digits !== "-0" ? value : fail("has an integer out of range");
  };
  const value = (depth) => {
    const [, mark, digits, quoted] = next();
    if (digits !== undefined) return number(digits);
    if (quoted !== undefined) return string(quoted);
    if (mark === "{" || mark === "[") {
      if (depth === DEPTH_MAX) fail(`is nested deeper than ${DEPTH_MAX}`);
      return mark === "{" ? object(depth + 1) : list(depth + 1);
    }
    const words = { true: true, false: false, null: null };
    return mark in words ? words[mark] : fail("is not strict JSON");
  };
  const object = (depth) => {
    const members = Object.create(null); // "__proto__" is a member like others
    if (peek("}")) return members;
    do {
      const name = string(next()[3] ?? fail("is not strict JSON"));
      if (name in members) fail("has a duplicate member");
      expect(":");
      members[name] = value(depth);
    } while (expect(",", "}") === ",");
    return members;
  };
  const list = (depth) => {
    const items = [];
    if (peek("]")) return items;
    do items.push(value(depth)); while (expect(",", "]") === ",");
    return items;
  };
  expect("{");
  const found = object(1);
  if (!/^[ \t\n\r]*$/.test(text.slice(at))) fail("goes on after the object");
  return found;
}

// -------------------------------------------------------------------------------------------------- hashes, signatures

export const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

// RFC 8032 with the two rules of docs/spec/line.md: R is not the neutral element, and a key is the one encoding of a
// point of prime order. S below L is demanded by every implementation of WebCrypto.
const NEUTRAL = Uint8Array.from({ length: 32 }, (_, place) => (place === 0 ? 1 : 0));
async function isSigned(publicKey, signature, data) {
  if (signature.length !== 64 || same(signature.subarray(0, 32), NEUTRAL)) return false;
  const key = await crypto.subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", key, signature, data);
}

const P = 2n ** 255n - 19n, L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (number) => ((number % P) + P) % P;
function power(base, exponent) {
  let result = 1n;
  for (let square = mod(base); exponent; exponent >>= 1n, square = mod(square * square)) {
    if (exponent & 1n) result = mod(result * square);
  }
  return result;
}
const D = mod(-121665n * power(121666n, P - 2n)), ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n);
function pointOf(bytes) { // RFC 8032 section 5.1.3, in extended coordinates; null for any other spelling
  const number = BigInt(`0x${hex(bytes.toReversed())}`);
  const sign = number >> 255n, y = number & (2n ** 255n - 1n);
  if (y >= P) return null;
  const square = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square)) x = mod(x * ROOT_OF_MINUS_ONE);
  if (mod(x * x - square) || (x === 0n && sign)) return null;
  if ((x & 1n) !== sign) x = P - x;
  return [x, y, 1n, mod(x * y)];
}
function add([x1, y1, z1, t1], [x2, y2, z2, t2]) { // section 5.1.4
  const a = mod((y1 - x1) * (y2 - x2)), b = mod((y1 + x1) * (y2 + x2)), c = mod(2n * t1 * t2 * D), d = 2n * z1 * z2;
  const e = b - a, f = d - c, g = d + c, h = b + a;
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}
const isNeutral = ([x, y, z]) => mod(x) === 0n && mod(y - z) === 0n;
function checkPublicKey(bytes) { // 32 of them
  let point = pointOf(bytes), product = [0n, 1n, 1n, 0n];
  demand(point && !isNeutral(point), "The public key is not the encoding of a point on the curve.");
  for (let scalar = L; scalar; scalar >>= 1n, point = add(point, point)) {
    if (scalar & 1n) product = add(product, point);
  }
  demand(isNeutral(product), "The public key is of small or mixed order.");
}

// ------------------------------------------------------------------------------------------- notes (C2SP signed-note)

const NAME = /^[^\0-\x20+\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]+$/u;

export async function parseVkey(text, algorithm = LOG) {
  // Only the first two plus signs separate: the base64 after them may have its own.
  const [, name, id, encoded] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(text) ?? [];
  demand(name && NAME.test(name), "A key is name+id+base64.");
  const typed = unb64(encoded, "The key");
  demand(typed.length === 33 && typed[0] === algorithm, `The key is not of the algorithm that belongs here (${algorithm}).`);
  checkPublicKey(typed.subarray(1));
  const digest = await sha256(bytesOf(`${name}\n`), typed);
  demand(hex(digest.subarray(0, 4)) === id, "The id of the key is not that of its name and bytes: mistyped or tampered with.");
  return { name, id, algorithm, publicKey: typed.subarray(1), text };
}

export function splitNote(note) {
  demand(note.length <= NOTE_BYTES_MAX, `A note has at most ${NOTE_BYTES_MAX} bytes.`);
  demand(!note.some((byte) => byte < 0x20 && byte !== 0x0a), "The note has a control character.");
  const whole = textOf(note, "The note"), end = whole.lastIndexOf("\n\n");
  demand(end >= 0 && whole.endsWith("\n"), "A note is a text, an empty line, then signature lines.");
  const lines = whole.slice(end + 2, -1).split("\n");
  demand(lines.length <= SIGNATURES_MAX, `A note has at most ${SIGNATURES_MAX} signatures.`);
  const signatures = lines.map((line) => {
    const [, name, encoded] = /^\u2014 ([^ ]*) (.*)$/s.exec(line) ?? [];
    demand(name && NAME.test(name), "A signature line is a dash, a name, then key id with signature.");
    const data = unb64(encoded, "A signature");
    demand(data.length > 4, "A signature line is a dash, a name, then key id with signature.");
    return { name, id: hex(data.subarray(0, 4)), data: data.subarray(4) };
  });
  return { text: bytesOf(whole.slice(0, end + 1)), signatures };
}

const keyOf = (keys, line) => keys.findLast((key) => key.name === line.name && key.id === line.id);

export async function openNote(note, keys) {
  const { text, signatures } = splitNote(note), signers = new Set();
  for (const line of signatures) {
    const key = keyOf(keys, line);
    if (!key) continue;
    demand(await isSigned(key.publicKey, line.data, text), `The signature by ${key.name} does not belong to this text.`);
    signers.add(key.text);
  }
  demand(signers.size, "None of the pinned keys signed this.");
  return { text, signatures, signers };
}

// ------------------------------------------- checkpoints (C2SP tlog-checkpoint), keys of the log (log.md, same heading)

function parseCheckpoint(text) {
  const [origin, size, root, ...rest] = textOf(text, "The checkpoint").split("\n");
  demand(rest.pop() === "" && rest.every(Boolean), "A checkpoint is an origin, a size and a root on lines of their own.");
  return { origin, size: decimal(size, "The size"), root: hashOf(root) };
}
const checkEmpty = async (tree) =>
  demand(tree.size > 0n || same(tree.root, await sha256()), "The root is not that of an empty tree.");

// The keys of one log, oldest first; `seq` is the index of the event that announced each.
export const keysOf = async (vkey) => [{ key: await parseVkey(vkey), seq: -1n }];
export const keyAt = (keys, size) => (keys.findLast((each) => each.seq < size) ?? keys[0]).key;

export async function openCheckpoint(note, keys) {
  const opened = await openNote(note, keys.map((each) => each.key));
  const tree = parseCheckpoint(opened.text), wanted = keyAt(keys, tree.size), origin = keys[0].key.name;
  await checkEmpty(tree);
  demand(opened.signers.has(wanted.text), `A checkpoint of size ${tree.size} is signed with the key ${wanted.id}.`);
  demand(tree.origin === origin, `The checkpoint is of the log ${tree.origin}, not of ${origin}.`);
  return tree;
}

// The receipt of a `log.key` event under a checkpoint that both keys signed; returns the keys with the new one.
export async function readCrossing(receipt, keys) {
  const found = parseReceipt(receipt), newest = keys.at(-1);
  const event = parseEvent(await provenBody(found, keys));
  demand(event.kind === "log.key", `This is the receipt of a ${event.kind} event; no key follows from it.`);
  const { log_key: text, former, until } = event.detail;
  demand(typeof text === "string", "The event announces no key.");
  const key = await parseVkey(text);
  const follows = former === newest.key.text && key.name === newest.key.name && !keys.some((each) => each.key.text === text);
  demand(follows && Number.isInteger(until) && found.index > newest.seq, "The event announces a key that does not follow the log's.");
  const crossed = [...keys, { key, seq: found.index }];
  await openCheckpoint(found.checkpoint, crossed); // also by the new key: it is there, and whoever announced it holds it
  return crossed;
}

// ------------------------------------------------------------------------------------ the tree (RFC 9162 section 2.1)

const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);
export const leafOf = async (body) => leafHash(await sha256(body)); // event body, entry, leaf

// Walks up both trees at once: `old` takes the hashes on its left, `found` all of them.
async function climb(start, node, last, proof, what) {
  let old = start, found = start;
  for (const sibling of proof) {
    demand(last > 0n, `The ${what} proof is too long.`);
    if (node & 1n || node === last) {
      [old, found] = [await nodeHash(sibling, old), await nodeHash(sibling, found)];
      while (node && !(node & 1n)) [node, last] = [node >> 1n, last >> 1n];
    } else {
      found = await nodeHash(found, sibling);
    }
    [node, last] = [node >> 1n, last >> 1n];
  }
  demand(last === 0n, `The ${what} proof is too short.`);
  return { old, found };
}

export async function checkInclusion(leaf, index, size, proof, root) { // section 2.1.3.2
  demand(index >= 0n && index < size, `There is no leaf ${index} in a tree of ${size}.`);
  const { found } = await climb(leaf, index, size - 1n, proof, "inclusion");
  demand(same(found, root), "The inclusion proof leads to another root.");
}

const isPower = (size) => (size & (size - 1n)) === 0n;

async function rootsOf(oldSize, oldRoot, size, proof) { // section 2.1.4.2
  const steps = isPower(oldSize) ? [oldRoot, ...proof] : proof;
  let node = oldSize - 1n, last = size - 1n;
  while (node & 1n) [node, last] = [node >> 1n, last >> 1n];
  return climb(steps[0], node, last, steps.slice(1), "consistency");
}

export async function checkConsistency(older, newer, proof) {
  demand(older.size >= 0n && older.size <= newer.size, `A log of ${newer.size} did not grow from one of ${older.size}.`);
  await checkEmpty(older);
  await checkEmpty(newer);
  if (older.size === 0n || older.size === newer.size) {
    demand(!proof.length, "The consistency proof should be empty.");
    demand(older.size === 0n || same(older.root, newer.root), "Two roots of one size: the log has forked.");
    return;
  }
  const { old, found } = await rootsOf(older.size, older.root, newer.size, proof);
  demand(same(old, older.root) && same(found, newer.root), "The consistency proof leads to other roots.");
}

// C2SP add-checkpoint: the old size, the proof, the checkpoint.
export function parseAddCheckpoint(body) {
  const text = octets(body), end = text.indexOf("\n\n");
  const [first, ...hashes] = text.slice(0, Math.max(end, 0)).split("\n");
  demand(end > 0 && first.startsWith("old "), "This is no consistency proof before a checkpoint.");
  return { oldSize: decimal(first.slice(4), "The old size"), proof: hashes.map(hashOf), checkpoint: body.subarray(end + 2) };
}

// What a log that was at `known` shows now, by such a body. Nothing smaller, nothing else of one size.
export async function checkUpdate(known, body, keys) {
  const { oldSize, proof, checkpoint } = parseAddCheckpoint(body);
  const older = await openCheckpoint(known, keys), newer = await openCheckpoint(checkpoint, keys);
  demand(oldSize === older.size, `This is the proof from a size of ${oldSize}, not of ${older.size}.`);
  await checkConsistency(older, newer, proof);
  return newer;
}

// ------------------------------------------------------------------------------------------- receipts (C2SP tlog-proof)

export function parseReceipt(receipt) {
  demand(receipt.length <= RECEIPT_BYTES_MAX, `A receipt has at most ${RECEIPT_BYTES_MAX} bytes.`);
  const text = octets(receipt), end = text.indexOf("\n\n");
  const [first, ...lines] = text.slice(0, Math.max(end, 0)).split("\n");
  demand(first === "c2sp.org/tlog-proof@v1", "The receipt does not begin as a tlog-proof.");
  const body = lines[0]?.startsWith("extra ") ? unb64(lines.shift().slice(6), "The event") : null;
  demand(lines[0]?.startsWith("index "), "The receipt has no index.");
  const index = decimal(lines.shift().slice(6), "The index");
  return { body, index, proof: lines.map(hashOf), checkpoint: receipt.subarray(end + 2) };
}

const EVENT = { v: "number", kind: "string", time: "number", party: "string", party_seq: "number", object: "string", detail: "object", salt: "string" };
export function parseEvent(body) {
  const event = parseObject(body, "The event"), names = Object.keys(event);
  const isSound = (name) => typeof event[name] === EVENT[name] || (name === "object" && event.object === null);
  demand(names.length === 8 && names.every((name) => name in EVENT && isSound(name)), "The event has other members than an event has.");
  demand(event.v === 1 && event.detail !== null && !Array.isArray(event.detail), "The event has other members than an event has.");
  return event;
}

async function provenBody({ body, index, proof, checkpoint }, keys) {
  demand(body, "The receipt has no event.");
  const tree = await openCheckpoint(checkpoint, keys);
  await checkInclusion(await leafOf(body), index, tree.size, proof, tree.root);
  return body;
}

const isRefusal = (kind) => typeof kind === "string" && kind.endsWith(".refused"); // also of a kind that comes later
const ACKS = ["bulletin.opened", "bulletin.acknowledged"];
export function namedIn(event) { // the ids of the lines an event is about
  const detail = event.detail ?? {};
  const released = event.kind === "bulletin.released" && Array.isArray(detail.ids) ? detail.ids : [];
  return [event.object, ...released, ...(ACKS.includes(event.kind) ? [detail.ack] : [])];
}

// Proves that the event is in the log, and that it names the line; a refusal is no receipt.
export async function checkReceipt(receipt, lineId, keys) {
  const event = parseObject(await provenBody(parseReceipt(receipt), keys), "The event");
  demand(namedIn(event).includes(lineId), "The receipt is for another line.");
  demand(!isRefusal(event.kind), "The log says that the hub refused this line.");
  return event;
}

// ---------------------------------------------------------------------------- the signed line (docs/spec/line.md; JWS)

const oneOf = (...words) => (value) => words.includes(value);
const matching = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const sorted = (value, countMax, isItem) =>
  Array.isArray(value) && value.length > 0 && value.length <= countMax && value.every((item, place) => isItem(item) && (place === 0 || value[place - 1] < item));
const ID = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", WORD = /^[a-z0-9][a-z0-9.-]*$/;
const isAgency = matching(/^[a-z]{2}-[a-z][a-z0-9]{1,23}$/), isId = matching(new RegExp(`^${ID}$`));
const isRef = matching(new RegExp(`^(?:supersedes|recalls|answers|endorses|comments):${ID}$`));
const isTime = (value) => Number.isInteger(value) && value >= 0;
const isParty = (value) => isAgency(value) || matching(/^admin\/[a-z][a-z0-9-]{0,31}$/)(value);
const HEADER = {
  alg: oneOf("Ed25519", "EdDSA"), typ: () => true, kid: isId, iss: isParty, iat: isTime, exp: isTime,
  aud: matching(/^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?-[a-z0-9]{8}$/),
  kind: matching(WORD), topic: matching(WORD), urgency: matching(WORD), purpose: matching(WORD),
  tlp: oneOf("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"), enc: oneOf("hpke"), scope: oneOf("read", "subscribe", "admin"),
  release_to: (value) => sorted(value, 256, isAgency) || (Array.isArray(value) && value.length === 1 && value[0] === "*"),
  refs: (value) => sorted(value, 16, isRef),
  case_ref: matching(/^[A-Za-z0-9][A-Za-z0-9 ._/()-]{0,63}$/), sub: matching(/^[a-z0-9][a-z0-9._/-]{0,63}$/),
};
const ALWAYS = ["alg", "typ", "kid", "iss", "aud", "iat"];
const LINES = { // typ: bytes at most, members it must have, members it may have
  "vnd.lintas.bulletin": [262144, [...ALWAYS, "exp", "kind", "topic", "tlp", "release_to", "urgency"], ["refs", "enc"]],
  "vnd.lintas.order": [262144, ALWAYS, ["sub"]],
  "vnd.lintas.key": [16384, ALWAYS, []],
  "vnd.lintas.ack": [4096, ALWAYS, ["sub"]],
  "vnd.lintas.token": [2048, [...ALWAYS, "exp", "scope"], ["purpose", "case_ref", "sub"]],
};
const VALIDITY_S_MAX = 5 * 366 * 86400;

function checkHeader(header) {
  demand(typeof header.typ === "string" && Object.hasOwn(LINES, header.typ), "`typ` names no kind of line.");
  const [bytesMax, needed, optional] = LINES[header.typ], allowed = [...needed, ...optional];
  for (const [name, value] of Object.entries(header)) {
    demand(allowed.includes(name), "The header has a member that this kind of line may not have.");
    demand(HEADER[name](value), `\`${name}\` has no valid value.`);
  }
  demand(needed.every((name) => name in header), "The header lacks a member.");
  const release = header.release_to ?? [];
  demand(release[0] !== "*" || (["CLEAR", "GREEN"].includes(header.tlp) && !header.enc), "Only CLEAR and GREEN, unsealed, may go to every partner.");
  demand(!release.includes(header.iss), "The issuer is never listed as a recipient.");
  demand(!("exp" in header) || header.exp - header.iat <= VALIDITY_S_MAX, "`exp` lies too long after `iat`.");
  return bytesMax;
}

// The bytes as they were sent, without the line feed of a file. The signature is not looked at: that is checkLine.
export async function parseLine(line) {
  const parts = textOf(line, "The line").split(".");
  demand(parts.length === 3 && parts[2].length === 86, "A line has three parts, the last of 86 characters.");
  const head = unb64u(parts[0], "The header");
  demand(head.length <= HEADER_BYTES_MAX, `The header is larger than ${HEADER_BYTES_MAX} bytes.`);
  const header = parseObject(head, "The header");
  demand(line.length <= checkHeader(header), "The line is larger than its kind may be.");
  const payload = unb64u(parts[1], "The payload"), signature = unb64u(parts[2], "The signature");
  return { id: b64u(await sha256(line)), header, payload, signature, signed: line.subarray(0, line.length - 87) };
}

export const thumbprint = async (publicKey) => b64u(await sha256(bytesOf(`{"crv":"Ed25519","kty":"OKP","x":"${b64u(publicKey)}"}`))); // RFC 7638

// `record` is the detail of a `key.enrolled` or `key.rotated` event: agency, kid, public (hex).
export async function checkLine(line, record) {
  const found = await parseLine(line);
  demand(typeof record?.public === "string" && /^[0-9a-f]{64}$/.test(record.public), "The key record has no public key.");
  const publicKey = Uint8Array.from(record.public.match(/../g), (pair) => parseInt(pair, 16));
  checkPublicKey(publicKey);
  demand((await thumbprint(publicKey)) === record.kid, "The key record has the id of another key.");
  // The pair: a valid key of another party is as unknown as none.
  demand(found.header.kid === record.kid && found.header.iss === record.agency, "The line is signed with another key than this record's, or for another party.");
  demand(await isSigned(publicKey, found.signature, found.signed), "The signature does not belong to this line.");
  return found;
}

// ---------------------------------------------------------------------- witnesses (C2SP tlog-cosignature, tlog-policy)

export async function checkCosignatures(note, witnesses) {
  const { text, signatures } = splitNote(note), found = [];
  for (const line of signatures) {
    const key = keyOf(witnesses, line);
    if (!key) continue;
    const time = line.data.length === 72 ? new DataView(line.data.slice().buffer).getBigUint64(0) : 0n;
    const signed = join(bytesOf(`cosignature/v1\ntime ${time}\n`), text);
    const isGood = key.algorithm === COSIGNATURE && time > 0n && time < 2n ** 63n && (await isSigned(key.publicKey, line.data.subarray(8), signed));
    demand(isGood, `The cosignature by ${key.name} does not belong to this checkpoint.`);
    found.push({ witness: key.text, name: key.name, time });
  }
  return found;
}

// Names are bytes; a group names what stands on earlier lines, and a name is a member of one group at most.
export async function parsePolicy(file) {
  demand(file.length <= POLICY_BYTES_MAX, `A policy has at most ${POLICY_BYTES_MAX} bytes.`);
  const text = octets(file), logs = [], witnesses = new Map(), groups = new Map(), members = new Set();
  demand(/^[\t\n\x20-\x7e\x80-\xff]*$/.test(text) && /(?:^|\n)$/.test(text), "A policy has no control characters, and its last line ends with a line feed.");
  const isKnown = (name) => witnesses.has(name) || groups.has(name);
  const checkNew = (name) => demand(name !== "none" && !isKnown(name), `The name ${name} is taken.`);
  const keyIn = (word, algorithm) => parseVkey(textOf(fromOctets(word), "A key"), algorithm);
  const isIn = (keys, key) => keys.some((each) => same(each.publicKey, key.publicKey));
  let quorum = null;
  for (const line of text.split("\n")) {
    const words = line.split(/[ \t]+/).filter(Boolean), [what, name, third, ...rest] = words;
    if (!words.length || what.startsWith("#")) continue;
    if (what === "log" && (words.length === 2 || words.length === 3)) {
      const key = await keyIn(name, LOG);
      demand(!isIn(logs, key), "The key of this log stands on an earlier line.");
      logs.push(key);
    } else if (what === "witness" && (words.length === 3 || words.length === 4)) {
      const key = await keyIn(third, COSIGNATURE);
      checkNew(name);
      demand(!isIn([...witnesses.values()], key), "The key of this witness stands on an earlier line.");
      witnesses.set(name, key);
    } else if (what === "group" && words.length > 3) {
      checkNew(name);
      for (const member of rest) {
        demand(isKnown(member) && !members.has(member), `${member} is on no earlier line, or a member already.`);
        members.add(member);
      }
      const need = third === "any" ? 1 : third === "all" ? rest.length : /^[1-9][0-9]?$/.test(third) ? Number(third) : 0;
      demand(need >= 1 && need <= rest.length, "A group asks for `any`, `all` or a number of its members.");
      groups.set(name, { need, members: rest });
    } else {
      demand(what === "quorum" && words.length === 2, "A line is neither a log, a witness, a group nor the quorum.");
      demand(quorum === null && (name === "none" || isKnown(name)), "There is a quorum already, or it is on no earlier line.");
      quorum = name;
    }
    demand(Math.max(logs.length, witnesses.size, groups.size) <= NAMES_MAX, `A policy has at most ${NAMES_MAX} of a kind.`);
  }
  demand(quorum !== null, "A policy has a quorum line.");
  return { logs, witnesses, groups, quorum };
}

// Who of the policy's witnesses cosigned, and whether that is enough. Asking for nothing proves nothing.
export async function judgeWitnesses(note, keys, policy) {
  await openCheckpoint(note, keys);
  const isForLog = !policy.logs.length || policy.logs.some((log) => keys.some((each) => each.key.text === log.text));
  demand(isForLog, "The policy is for other logs.");
  const cosignatures = await checkCosignatures(note, [...policy.witnesses.values()]);
  const cosigned = new Set(cosignatures.map((each) => each.witness));
  const has = (name) => {
    const group = policy.groups.get(name);
    return group ? group.members.filter(has).length >= group.need : cosigned.has(policy.witnesses.get(name).text);
  };
  return { cosignatures, isEnough: policy.quorum !== "none" && has(policy.quorum) };
}

// ------------------------------------------------------------------------------------ evidence (log.md, same heading)

async function openByAny(note, keys) {
  const opened = await openNote(note, keys.map((each) => each.key)), tree = parseCheckpoint(opened.text);
  await checkEmpty(tree);
  demand(tree.origin === keys[0].key.name, `The checkpoint is of another log, ${tree.origin}.`);
  return { ...tree, signers: opened.signers };
}

// Two checkpoints that do not fit each other, and the proof shown between them: "same", "forked", or "unproven".
export async function judgeConflict({ known, shown, proof }, keys) {
  const first = await openByAny(known, keys), second = await openByAny(shown, keys);
  const isOneSigner = [...first.signers].some((text) => second.signers.has(text));
  if (first.size === second.size && same(first.root, second.root)) return "same";
  const [old, newer] = first.size < second.size ? [first, second] : [second, first];
  const isForked = old.size === newer.size || (await hasOtherBeginning(proof, old, newer, keys));
  return isForked && isOneSigner ? "forked" : "unproven"; // a former key can be in other hands
}

async function hasOtherBeginning(body, old, newer, keys) {
  try {
    const { oldSize, proof, checkpoint } = parseAddCheckpoint(body), tree = await openByAny(checkpoint, keys);
    if (oldSize !== old.size || tree.size !== newer.size || !same(tree.root, newer.root)) return false;
    if (isPower(oldSize)) return false; // its proof does not tell the old root
    const roots = await rootsOf(oldSize, old.root, newer.size, proof);
    return same(roots.found, newer.root) && !same(roots.old, old.root);
  } catch (fault) {
    if (fault instanceof Broken) return false;
    throw fault;
  }
}
