// Verifies a line and its receipt with nothing but Node (18 or later): no package, no network, no word of the hub.
//
//     node verify.mjs LINE AGENCY X [RECEIPT LOG_KEY [CROSSING ...]]
//
// LINE and RECEIPT are files as `lintas publish --save` writes them. X is `x` of the agency's key in `GET /v1/keys`: compare
// the key's fingerprint, which is printed, with what the agency told you. LOG_KEY is the log's key from your invitation. Each
// CROSSING is the receipt of a change of the log's key since then (`GET /v1/log/key/{key_id}`), in order.
//
// `main` is the whole client. What follows it refuses everything that is spelt in a second way, for a line is known by the
// hash of its bytes. Formats: docs/spec/line.md, docs/spec/log.md. Test vectors: tests/vectors.

import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

function main(lineFile, agency, x, receiptFile, logKey, ...crossings) {
  const key = unb64u(x ?? ""), record = { agency, kid: thumbprint(key), public: hex(key) };
  const bytes = readFileSync(lineFile), isFile = bytes.at(-1) === 0x0a; // a file has a line feed after the line
  const line = checkLine(isFile ? bytes.subarray(0, -1) : bytes, record);
  console.log(`signed    by ${line.header.iss}, key ${record.kid}: ${line.header.typ} ${line.id}`);
  if (receiptFile === undefined) return;
  const known = crossings.reduce((keys, file) => readCrossing(readFileSync(file), keys), keysOf(logKey ?? ""));
  const receipt = readFileSync(receiptFile), event = checkReceipt(receipt, line.id, known);
  console.log(`logged    ${event.kind} at index ${parseReceipt(receipt).index} of ${known[0].key.name}`);
  console.log(`when      ${new Date(Math.floor(event.time / 1000)).toISOString()}, by the hub's clock`);
}

export class Broken extends Error {}
const demand = (holds, why) => { if (!holds) throw new Broken(why); };

// ---- the line

const ID = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", WORD = /^[a-z0-9][a-z0-9.-]*$/;
const like = (pattern) => (value) => typeof value === "string" && pattern.test(value);
const among = (...words) => (value) => words.includes(value);
const isTime = (value) => Number.isInteger(value) && value >= 0;
const isAgency = like(/^[a-z]{2}-[a-z][a-z0-9]{1,23}$/);
const sortedList = (most, isItem) => (value) => Array.isArray(value) && value.length >= 1 && value.length <= most
  && value.every((item, at) => isItem(item) && (at === 0 || value[at - 1] < item));
const VALUES = {
  alg: among("Ed25519", "EdDSA"), typ: like(/^/), kid: like(new RegExp(`^${ID}$`)), iat: isTime, exp: isTime,
  iss: like(/^(?:[a-z]{2}-[a-z][a-z0-9]{1,23}|admin\/[a-z][a-z0-9-]{0,31})$/),
  aud: like(/^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?-[a-z0-9]{8}$/),
  kind: like(WORD), topic: like(WORD), urgency: like(WORD), purpose: like(WORD), enc: among("hpke"),
  tlp: among("CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"), scope: among("read", "subscribe", "admin"),
  release_to: (value) => sortedList(256, isAgency)(value) || (Array.isArray(value) && value.length === 1 && value[0] === "*"),
  refs: sortedList(16, like(new RegExp(`^(?:supersedes|recalls|answers|endorses|comments):${ID}$`))),
  case_ref: like(/^[A-Za-z0-9][A-Za-z0-9 ._/()-]{0,63}$/), sub: like(/^[a-z0-9][a-z0-9._/-]{0,63}$/),
};
const ALWAYS = ["alg", "typ", "kid", "iss", "aud", "iat"];
const KINDS = { // bytes at most, members it must have, members it may have
  "vnd.lintas.bulletin": [262144, [...ALWAYS, "exp", "kind", "topic", "tlp", "release_to", "urgency"], ["refs", "enc"]],
  "vnd.lintas.order": [262144, ALWAYS, ["sub"]],
  "vnd.lintas.key": [16384, ALWAYS, []],
  "vnd.lintas.ack": [4096, ALWAYS, ["sub"]],
  "vnd.lintas.token": [2048, [...ALWAYS, "exp", "scope"], ["purpose", "case_ref", "sub"]],
};
const VALIDITY_S_MAX = 5 * 366 * 86400;

// `record` names the key: `agency`, `kid`, `public` in hexadecimal, as in the event `key.enrolled`.
export function checkLine(line, record) {
  const parts = utf8(line).split(".");
  demand(parts.length === 3 && parts[2].length === 86, "a line has three parts, the last of 86 characters");
  const head = unb64u(parts[0]), signature = unb64u(parts[2]);
  unb64u(parts[1]);
  demand(head.length <= 4096, "the header is too large");
  const header = parseObject(head);
  checkHeader(header, line.length);
  demand(typeof record.public === "string" && /^[0-9a-f]{64}$/.test(record.public), "the record has no key");
  const key = Buffer.from(record.public, "hex");
  checkPoint(key);
  demand(thumbprint(key) === record.kid && header.kid === record.kid, "signed with another key");
  demand(header.iss === record.agency, "the key is another party's");
  demand(isSigned(key, signature, line.subarray(0, -87)), "the signature does not belong to this line");
  return { header, id: b64u(sha256(line)) };
}

function checkHeader(header, size) {
  demand(typeof header.typ === "string" && Object.hasOwn(KINDS, header.typ), "`typ` names no kind of line");
  const [sizeMax, must, may] = KINDS[header.typ], { release_to: to = [] } = header;
  demand(size <= sizeMax, "the line is too large for its kind");
  demand(must.every((name) => name in header), "the header lacks a member");
  for (const [name, value] of Object.entries(header)) {
    demand((must.includes(name) || may.includes(name)) && VALUES[name](value), `\`${name}\` is unknown here or has no valid value`);
  }
  demand(to[0] !== "*" || (["CLEAR", "GREEN"].includes(header.tlp) && !("enc" in header)), "this may not go to every partner");
  demand(!to.includes(header.iss), "the issuer is no recipient");
  demand(!("exp" in header) || header.exp - header.iat <= VALIDITY_S_MAX, "it is valid too long");
}

export const thumbprint = (key) => b64u(sha256(`{"crv":"Ed25519","kty":"OKP","x":"${b64u(key)}"}`)); // RFC 7638

// ---- the receipt (C2SP tlog-proof), under the log's keys: the pinned one, then those that followed it

export function checkReceipt(bytes, lineId, keys) {
  const event = parseObject(provenBody(parseReceipt(bytes), keys)), detail = event.detail ?? {};
  const named = [event.object];
  if (event.kind === "bulletin.released" && Array.isArray(detail.ids)) named.push(...detail.ids);
  if (["bulletin.opened", "bulletin.acknowledged"].includes(event.kind)) named.push(detail.ack);
  demand(named.includes(lineId), "the receipt is for another line");
  demand(typeof event.kind === "string" && !event.kind.endsWith(".refused"), "the log says that the hub refused this line");
  return event;
}

export function parseReceipt(bytes) {
  demand(bytes.length <= 262144, "the receipt is too large");
  const text = bytes.toString("latin1"), end = text.indexOf("\n\n"), lines = text.slice(0, Math.max(end, 0)).split("\n");
  demand(lines.shift() === "c2sp.org/tlog-proof@v1", "this is no tlog-proof");
  const body = lines[0]?.startsWith("extra ") ? unb64(lines.shift().slice(6)) : null;
  demand(lines[0]?.startsWith("index "), "the receipt has no index");
  const index = decimal(lines.shift().slice(6));
  demand(lines.length <= 63, "the proof is too long");
  return { body, index, proof: lines.map(hashOf), checkpoint: bytes.subarray(end + 2) };
}

function provenBody({ body, index, proof, checkpoint }, keys) {
  demand(body !== null, "the receipt has no event");
  const tree = openCheckpoint(checkpoint, keys);
  checkInclusion(sha256("\0", sha256(body)), index, tree.size, proof, tree.root);
  return body;
}

export function checkInclusion(leaf, index, size, proof, root) { // RFC 9162 section 2.1.3.2
  demand(index >= 0n && index < size, "the tree has no such leaf");
  let node = index, last = size - 1n, found = leaf;
  for (const sibling of proof) {
    demand(last > 0n, "the proof is too long");
    if (node & 1n || node === last) {
      found = sha256("\x01", sibling, found);
      while (node && !(node & 1n)) [node, last] = [node >> 1n, last >> 1n];
    } else found = sha256("\x01", found, sibling);
    [node, last] = [node >> 1n, last >> 1n];
  }
  demand(last === 0n && found.equals(root), "the proof does not lead to the root");
}

export const keysOf = (vkey) => [{ key: parseVkey(vkey), seq: -1n }];

// The newest key that was announced below the size of a checkpoint must have signed it, whoever else did.
export function openCheckpoint(note, keys) {
  const { text, signers } = openNote(note, keys.map((each) => each.key)), [origin, size, root, ...rest] = text.split("\n");
  demand(rest.pop() === "" && rest.every(Boolean), "this is no checkpoint");
  const tree = { size: decimal(size), root: hashOf(root) };
  const wanted = (keys.findLast((each) => each.seq < tree.size) ?? keys[0]).key;
  demand(origin === wanted.name, "the checkpoint is of another log");
  demand(signers.has(wanted.text), "the checkpoint is not signed with the key of its time");
  demand(tree.size > 0n || tree.root.equals(sha256()), "the root is not that of an empty tree");
  return tree;
}

// The receipt of a `log.key` event, under a checkpoint that the former key and the new one signed.
export function readCrossing(bytes, keys) {
  const receipt = parseReceipt(bytes), event = parseObject(provenBody(receipt, keys)), newest = keys.at(-1);
  const types = { v: "number", kind: "string", time: "number", party: "string", party_seq: "number", detail: "object", salt: "string" };
  const isEvent = Object.keys(event).sort().join() === "detail,kind,object,party,party_seq,salt,time,v" && event.v === 1
    && Object.entries(types).every(([name, type]) => typeof event[name] === type) && (event.object === null || typeof event.object === "string");
  demand(isEvent && event.kind === "log.key" && event.detail && !Array.isArray(event.detail), "this announces no key");
  const { log_key: text, former, until } = event.detail;
  demand(typeof text === "string" && former === newest.key.text && receipt.index > newest.seq, "this key does not follow the log's");
  const key = parseVkey(text);
  demand(key.name === newest.key.name && !keys.some((each) => each.key.text === text), "this key does not follow the log's");
  demand(Number.isInteger(until), "the overlap has no end");
  const crossed = [...keys, { key, seq: receipt.index }];
  openCheckpoint(receipt.checkpoint, crossed);
  return crossed;
}

// ---- notes (C2SP signed-note)

const NAME = /^[^\0-\x20+\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]+$/u;

export function parseVkey(text, algorithm = 1) {
  const [, name, id, encoded] = /^([^+]*)\+([^+]*)\+(.*)$/s.exec(text) ?? [];
  demand(name && NAME.test(name), "a key is name+id+base64");
  const typed = unb64(encoded), publicKey = typed.subarray(1);
  demand(typed.length === 33 && typed[0] === algorithm, "the key is of another algorithm");
  demand(hex(sha256(`${name}\n`, typed)).slice(0, 8) === id, "the id is not that of this key: mistyped or tampered with");
  checkPoint(publicKey);
  return { name, id, publicKey, text };
}

function openNote(note, keys) {
  demand(note.length <= 262144 && !note.some((byte) => byte < 0x20 && byte !== 0x0a), "the note is too large or has control characters");
  const whole = utf8(note), end = whole.lastIndexOf("\n\n"), text = whole.slice(0, end + 1), signers = new Set();
  demand(end >= 0 && whole.endsWith("\n"), "a note is a text, an empty line, signatures");
  const lines = whole.slice(end + 2, -1).split("\n");
  demand(lines.length <= 64, "too many signatures");
  for (const line of lines) {
    const [, name, encoded] = /^\u2014 ([^ ]*) (.*)$/s.exec(line) ?? [];
    demand(name && NAME.test(name), "a signature line is a dash, a name, base64");
    const data = unb64(encoded), key = keys.find((each) => each.name === name && each.id === hex(data.subarray(0, 4)));
    demand(data.length > 4, "a signature line without a signature");
    if (!key) continue; // a witness's, or a key's that nobody pinned
    demand(isSigned(key.publicKey, data.subarray(4), Buffer.from(text)), "a signature does not belong to this note");
    signers.add(key.text);
  }
  demand(signers.size > 0, "no pinned key signed this note");
  return { text, signers };
}

// ---- spellings: one for each value

export const bytesOf = (text) => Buffer.from(text);
export const hex = (bytes) => bytes.toString("hex");
export const b64 = (bytes) => bytes.toString("base64");
export const b64u = (bytes) => bytes.toString("base64url");
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest();

function decoded(text, encoding) {
  const bytes = Buffer.from(text, encoding);
  demand(bytes.toString(encoding) === text, `this is not canonical ${encoding}`);
  return bytes;
}
export const unb64 = (text) => decoded(text, "base64");
const unb64u = (text) => decoded(text, "base64url");

function hashOf(text) {
  const bytes = unb64(text);
  demand(bytes.length === 32, "a hash has 32 bytes");
  return bytes;
}

function decimal(text = "") {
  demand(text.length <= 16 && /^(?:0|[1-9][0-9]*)$/.test(text), "this is no plain decimal number");
  return BigInt(text);
}

function utf8(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Broken("this is not UTF-8");
  }
}

// Strict JSON (RFC 8259, RFC 7493): JSON.parse takes the last of two members with one name, and rounds numbers.
const TOKEN = /[ \t\n\r]*(?:[{}[\],:]|true|false|null|-?(?:0|[1-9][0-9]*)(?![0-9.eE])|"(?:[^"\\\0-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")/g;

export function parseObject(bytes) {
  const text = utf8(bytes).replace(/[ \t\n\r]+$/, ""), tokens = text.match(TOKEN) ?? [];
  demand(tokens.join("") === text, "this is not strict JSON");
  let at = 0;
  const next = () => tokens[at++]?.trimStart() ?? "";
  const expect = (...marks) => {
    const mark = next();
    demand(marks.includes(mark), "this is not strict JSON");
    return mark;
  };
  const scalar = (token) => {
    demand(!"{}[]:,".includes(token), "this is not strict JSON");
    const value = JSON.parse(token);
    demand(typeof value !== "number" || (Number.isSafeInteger(value) && token !== "-0"), "an integer is out of range");
    demand(typeof value !== "string" || !/[\0\ud800-\udfff]/u.test(value), "a text has NUL or a lone surrogate");
    return value;
  };
  const some = (depth, end, read) => { // what stands between an opening mark and its end
    demand(depth <= 16, "this is nested too deep");
    if (tokens[at]?.trimStart() === end) return void next();
    do read(depth); while (expect(",", end) === ",");
  };
  const value = (depth, token = next()) => {
    if (token === "{") return object(depth + 1);
    if (token !== "[") return scalar(token);
    const items = [];
    some(depth + 1, "]", (deeper) => items.push(value(deeper)));
    return items;
  };
  const object = (depth) => {
    const members = Object.create(null);
    some(depth, "}", (deeper) => {
      const name = scalar(next());
      demand(typeof name === "string" && !(name in members), "a member stands twice, or is no text");
      expect(":");
      members[name] = value(deeper);
    });
    return members;
  };
  expect("{");
  const found = object(1);
  demand(at === tokens.length, "something follows the object");
  return found;
}

// ---- Ed25519 with the two rules of docs/spec/line.md: a key of prime order, an R that is not the neutral element

const NEUTRAL = Buffer.from("01".padEnd(64, "0"), "hex");

function isSigned(key, signature, data) {
  if (signature.length !== 64 || signature.subarray(0, 32).equals(NEUTRAL)) return false;
  return verify(null, data, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: b64u(key) }, format: "jwk" }), signature);
}

const P = 2n ** 255n - 19n, ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (number) => ((number % P) + P) % P;
const power = (base, exponent) => exponent === 0n ? 1n : mod(power(mod(base * base), exponent >> 1n) * (exponent & 1n ? base : 1n));
const D = mod(-121665n * power(121666n, P - 2n));

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) { // RFC 8032 section 5.1.4
  const a = (y1 - x1) * (y2 - x2), b = (y1 + x1) * (y2 + x2), c = 2n * t1 * t2 * D, d = 2n * z1 * z2;
  const e = mod(b - a), f = mod(d - c), g = mod(d + c), h = mod(b + a);
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function checkPoint(key) { // 32 bytes: section 5.1.3, then ORDER times the point
  demand(key.length === 32, "a public key has 32 bytes");
  const number = BigInt(`0x${hex(Buffer.from(key).reverse())}`), sign = number >> 255n, y = number & (2n ** 255n - 1n);
  const square = mod((y * y - 1n) * power(D * y * y + 1n, P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square)) x = mod(x * power(2n, (P - 1n) / 4n));
  demand(y < P && !mod(x * x - square) && !(x === 0n && sign), "the key is no point of the curve, or spelt in another way");
  if ((x & 1n) !== sign) x = P - x;
  let sum = [0n, 1n, 1n, 0n];
  for (let scalar = ORDER, point = [x, y, 1n, mod(x * y)]; scalar; scalar >>= 1n, point = add(point, point)) {
    if (scalar & 1n) sum = add(sum, point);
  }
  demand(sum[0] === 0n && sum[1] === sum[2] && !(x === 0n && y === 1n), "the key is of small or mixed order");
}

if (process.argv[1]?.endsWith("verify.mjs")) {
  try {
    if (process.argv.length < 5 || process.argv.length === 6) throw new Broken("see the first lines of this file");
    main(...process.argv.slice(2));
  } catch (fault) {
    if (!(fault instanceof Broken) && fault.code !== "ENOENT") throw fault;
    console.error(`does not hold: ${fault.message}`);
    process.exitCode = 1;
  }
}
