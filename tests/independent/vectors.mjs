// Asks verify.js about the shared test vectors: what it gives for a case, or `{fault}`. Used in Node and in a browser.
//
//     node vectors.mjs .../verify.js .../receipts.json ...      prints {file: [outcome, ...]}

const spell = (value) => (typeof value === "bigint" ? value.toString() : value);

// Bytes are text, base64 under a name that ends in `_b64`, or runs of text under one that ends in `_runs`.
function bytesIn(verify, given, name) {
  if (name in given) return verify.bytesOf(given[name]);
  const runs = given[`${name}_runs`];
  return runs ? verify.bytesOf(runs.map(([text, times]) => text.repeat(times)).join("")) : verify.unb64(given[`${name}_b64`]);
}

async function ringOf(verify, { keys, crossings }) {
  let ring = await verify.keysOf(keys[0]);
  for (const crossing of crossings) ring = await verify.readCrossing(verify.bytesOf(crossing), ring);
  return ring;
}

const treeOf = (verify, size, root) => ({ size: BigInt(size), root: verify.unb64(root) });
const hashesOf = (verify, hashes) => hashes.map((hash) => {
  const bytes = verify.unb64(hash);
  if (bytes.length !== 32) throw new verify.Broken("A hash has 32 bytes.");
  return bytes;
});

async function checkpoint(verify, given) {
  const tree = await verify.openCheckpoint(bytesIn(verify, given, "note"), await ringOf(verify, given));
  return { size: spell(tree.size), root: verify.b64(tree.root) };
}

const CHECKS = {
  objects: async (verify, given) => verify.parseObject(bytesIn(verify, given, "object")),
  keys: async (verify, { vkey, algorithm }) => {
    const key = await verify.parseVkey(vkey, algorithm);
    return { name: key.name, id: key.id, public: verify.hex(key.publicKey) };
  },
  checkpoints: checkpoint,
  rotations: checkpoint,
  inclusions: async (verify, { leaf, index, size, root, proof }) => {
    const tree = treeOf(verify, size, root);
    await verify.checkInclusion(verify.unb64(leaf), BigInt(index), tree.size, hashesOf(verify, proof), tree.root);
    return null;
  },
  consistencies: async (verify, given) => {
    const older = treeOf(verify, given.old_size, given.old_root), newer = treeOf(verify, given.size, given.root);
    await verify.checkConsistency(older, newer, hashesOf(verify, given.proof));
    return null;
  },
  updates: async (verify, given) => {
    const [known, body] = ["known", "body"].map((name) => bytesIn(verify, given, name));
    const tree = await verify.checkUpdate(known, body, await ringOf(verify, given));
    return { size: spell(tree.size), root: verify.b64(tree.root) };
  },
  receipts: async (verify, given) => {
    const receipt = bytesIn(verify, given, "receipt");
    const event = await verify.checkReceipt(receipt, given.line_id, await ringOf(verify, given));
    return { kind: event.kind, seq: spell(verify.parseReceipt(receipt).index) };
  },
  lines: async (verify, given) => {
    const line = await verify.checkLine(bytesIn(verify, given, "line"), given.record);
    return { id: line.id, iss: line.header.iss, typ: line.header.typ };
  },
  cosignatures: async (verify, given) => {
    const policy = await verify.parsePolicy(bytesIn(verify, given, "policy"));
    const found = await verify.judgeWitnesses(bytesIn(verify, given, "note"), await ringOf(verify, given), policy);
    const times = Object.fromEntries(found.cosignatures.map((each) => [each.name, spell(each.time)]));
    return { times, enough: found.isEnough };
  },
  evidence: async (verify, given) => {
    const rings = await Promise.all(given.keys.map((key) => verify.keysOf(key)));
    const [known, shown, proof] = ["known", "shown", "proof"].map((name) => bytesIn(verify, given, name));
    return verify.judgeConflict({ known, shown, proof }, rings.flat());
  },
};

// Only a Broken is a refusal: any other fault is a fault of the verifier, and fails the test.
export async function outcomesOf(verify, file) {
  const outcomes = [];
  for (const { name, given } of file.cases) {
    try {
      outcomes.push({ gives: await CHECKS[file.check](verify, given) });
    } catch (fault) {
      outcomes.push(fault instanceof verify.Broken ? { fault: fault.message } : { crash: `${name}: ${fault.stack}` });
    }
  }
  return outcomes;
}

if (globalThis.process?.argv[1]?.endsWith("vectors.mjs")) {
  const { readFileSync } = await import("node:fs");
  const [, , module, ...files] = process.argv;
  // Given as text of the type module: whatever package it lies in, it is read as one.
  const source = readFileSync(module, "utf8");
  const verify = await import(`data:text/javascript;base64,${Buffer.from(source).toString("base64")}`);
  const answers = {};
  for (const file of files) {
    const vectors = JSON.parse(readFileSync(file, "utf8"));
    answers[vectors.check] = await outcomesOf(verify, vectors);
  }
  process.stdout.write(JSON.stringify(answers));
}
