"""Makes the shared test vectors: what every verifier of Lintas takes, what it refuses.

All keys, salts and times are fixed, so the files are the same each time; a test holds the tracked ones to it. Whether a
case holds is said here by hand and never asked of the code: the tests hold the code to it.

    python -m tests.vectors.make
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from lintas import ed25519, line, merkle
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.cosignature import cosign, signed_text
from lintas.event import KINDS, Event, encode, entry_of
from lintas.header import ACK, BULLETIN, TOKEN
from lintas.keys import SigningKey
from lintas.merkle import Frontier, leaf_hash
from lintas.note import (
    ALGORITHM_COSIGNATURE,
    Signature,
    SignerKey,
    VerifierKey,
    b64,
    format_note,
    sign_note,
    split_note,
    unb64,
)
from lintas.receipt import Receipt, format_receipt
from lintas.strict import b64u, canonical

FOLDER = Path(__file__).parent
NOW = 1_795_467_600
HUB = "exercise.lintas.example-k3v9q2xa"
ORIGIN = f"{HUB}/log/1"
ORDER_OF_BASE_POINT = 2**252 + 27742317777372353535851937790883648493

Case = dict[str, Any]


def seed(name: str) -> bytes:
    """Return the seed of this name, always the same one."""
    return hashlib.sha256(f"lintas test vector: {name}".encode()).digest()


LOG, NEXT, THIRD, OTHER = (SignerKey.from_seed(ORIGIN, seed(f"log {n}")) for n in range(4))
ELSEWHERE = SignerKey.from_seed("other.example-aaaaaaaa/log/1", seed("log 0"))
WITNESSES = [
    SignerKey.from_seed(f"witness.example/w{n}", seed(f"witness {n}"), ALGORITHM_COSIGNATURE) for n in range(4)
]
ISSUER, RECIPIENT = (SigningKey.from_seed(seed(name)) for name in ("my-police", "sg-fiu"))


def case(name: str, given: dict[str, Any], gives: Any = None) -> Case:
    """Return a case that holds and gives this."""
    return {"name": name, "given": _bytes_as_text(given), "holds": True, "gives": gives}


def bad(name: str, given: dict[str, Any]) -> Case:
    """Return a case that must be refused."""
    return {"name": name, "given": _bytes_as_text(given), "holds": False}


def _bytes_as_text(given: dict[str, Any]) -> dict[str, Any]:
    """Spell bytes: as text where they are UTF-8, else in base64 (`_b64`); very long ones by their runs (`_runs`)."""
    spelt: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(value, bytes):
            spelt[name] = value
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            spelt[f"{name}_b64"] = b64(value)
            continue
        is_long = len(text) > 10_000
        spelt[f"{name}_runs" if is_long else name] = _runs(text) if is_long else text
    return spelt


def _runs(text: str) -> list[list[Any]]:
    """Return pairs of a text and how often it stands there in a row."""
    runs: list[list[Any]] = []
    end = 0
    for found in re.finditer(r"(.{1,4}?)\1{999,}", text, re.DOTALL):
        runs += [[text[end : found.start()], 1], [found[1], len(found[0]) // len(found[1])]]
        end = found.end()
    return [*runs, [text[end:], 1]]


# ---------------------------------------------------------------------------------------------------------------- log


class Tree:
    """A log of events on paper: bodies, and the root at every size."""

    def __init__(self, *bodies: bytes) -> None:
        """Grow by these."""
        self.bodies = bodies
        self.rows: list[bytes] = []
        self.roots = [merkle.EMPTY_ROOT]
        frontier = Frontier(0, ())
        for body in bodies:
            frontier, nodes = frontier.append(leaf_hash(entry_of(body)))
            self.rows.append(nodes)
            self.roots.append(frontier.root())

    def get(self, wanted: Any) -> list[bytes]:
        """Return the hashes of these subtrees."""
        places = [merkle.node_address(*address) for address in wanted]
        return [self.rows[row][offset : offset + 32] for row, offset in places]

    def text(self, size: int) -> bytes:
        """Return the text of the checkpoint of this size."""
        return format_checkpoint(Checkpoint(ORIGIN, size, self.roots[size])).encode()

    def checkpoint(self, size: int, *signers: SignerKey) -> bytes:
        """Return the checkpoint of this size, signed by these or the log's first key."""
        return sign_note(self.text(size), *(signers or (LOG,)))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the inclusion proof of an index."""
        return merkle.inclusion_proof(index, size, self.get)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Return the consistency proof from an older size."""
        return merkle.consistency_proof(old, size, self.get)

    def receipt(self, place: int, size: int, *signers: SignerKey, **changes: Any) -> bytes:
        """Return the receipt of an event; `changes` replace its parts."""
        parts: dict[str, Any] = {
            "index": place,
            "proof": tuple(self.inclusion(place, size)),
            "checkpoint": self.checkpoint(size, *signers),
            "extra": self.bodies[place],
        }
        return format_receipt(Receipt(**(parts | changes)))

    def add_checkpoint(self, old: int, size: int, *signers: SignerKey) -> bytes:
        """Return the consistency proof with the checkpoint that it leads to."""
        hashes = [b64(each) for each in self.consistency(old, size)]
        return "\n".join([f"old {old}", *hashes, "", ""]).encode() + self.checkpoint(size, *signers)


def body_of(place: int, kind: str = "view.read", **members: Any) -> bytes:
    """Return the body of an event; the place tells it from all others."""
    shown: dict[str, Any] = {"party": "my-police", "object": None, "detail": {}} | members
    event = Event(kind=kind, time=NOW * 10**6 + place, party_seq=place + 1, **shown)
    return encode(event, seed(f"salt {place}")[:16])


HEADER: dict[str, Any] = {
    "typ": BULLETIN,
    "iss": "my-police",
    "aud": HUB,
    "iat": NOW,
    "exp": NOW + 30 * 86_400,
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "release_to": ["id-police", "sg-fiu"],
    "urgency": "urgent",
}
PAYLOAD = canonical({"title": "Fictional scam kit", "summary": "SIMULATED. Sold by the invented 'Golden Lotus' group."})
LINE = line.sign(HEADER, PAYLOAD, ISSUER)
LINE_ID = line.line_id(LINE)
ACK_LINE = line.sign(
    {"typ": ACK, "iss": "sg-fiu", "aud": HUB, "iat": NOW, "sub": "desk/3"},
    canonical({"id": LINE_ID, "state": "opened"}),
    RECIPIENT,
)
RECORD = {"agency": "my-police", "kid": ISSUER.kid, "public": ISSUER.public.hex()}
ACK_RECORD = {"agency": "sg-fiu", "kid": RECIPIENT.kid, "public": RECIPIENT.public.hex()}


def announcement(new: SignerKey = NEXT, before: SignerKey = LOG, **changes: Any) -> dict[str, Any]:
    """Return what a `log.key` event tells."""
    known = {"log_key": new.verifier.text(), "former": before.verifier.text(), "until": NOW + 86_400}
    return known | changes


NAMED = {"ids": [LINE_ID], "seqs": [1], "exps": [NOW + 30 * 86_400], "topics": ["cyber.scam"], "tlps": ["AMBER"]}
TREE = Tree(
    body_of(0, "log.opened", party="*", detail={"hub": HUB, "log_key": LOG.verifier.text()}),
    body_of(1, "bulletin.accepted", object=LINE_ID, detail={"kind": "alert", "topic": "cyber.scam", "tlp": "AMBER"}),
    body_of(2, "bulletin.released", party="sg-fiu", detail=NAMED),
    body_of(3, "bulletin.opened", party="sg-fiu", object=LINE_ID, detail={"ack": line.line_id(ACK_LINE)}),
    body_of(4, "bulletin.refused", object=LINE_ID, detail={"code": "stale"}),
    *(body_of(place) for place in range(5, 21)),
)
ROTATED = Tree(
    *TREE.bodies[:5],
    body_of(5, "log.key", party="*", object=LINE_ID, detail=announcement()),
    body_of(6),
    body_of(7, "log.key", party="*", object=LINE_ID, detail=announcement(THIRD, NEXT)),
    body_of(8),
)
FORKED = Tree(*TREE.bodies[:3], *(body_of(place, party="th-cert") for place in range(3, 21)))


# -------------------------------------------------------------------------------------------------------------- files


def objects() -> list[Case]:
    """Strict JSON: bytes in, members out."""
    good = {
        "empty": b"{}",
        "spaces": b' \t\r\n{ "a" : [ ] }\n',
        "words and numbers": b'{"a":[true,false,null,0,-1,9007199254740991,-9007199254740991]}',
        "escapes": rb'{"a":"\u00e9\n\/\ud83d\ude00\"\\"}',
        "scripts": '{"ไทย":"Việt ငြိမ်း"}'.encode(),
        "deep": b'{"a":' + b"[" * 15 + b"]" * 15 + b"}",
        "brackets in text": b'{"a":"' + b"[" * 40 + b'"}',
        "a name of the language": b'{"__proto__":{"toString":1},"constructor":2}',
    }
    refused = {
        "nothing": b"",
        "no object": b"[]",
        "a number": b"1",
        "two objects": b"{}{}",
        "not closed": b'{"a":1',
        "comma at the end": b'{"a":1,}',
        "comma at the end of a list": b'{"a":[1,]}',
        "duplicate": b'{"a":1,"a":1}',
        "duplicate by escape": rb'{"a":1,"\u0061":1}',
        "fraction": b'{"a":1.0}',
        "exponent": b'{"a":1e3}',
        "too large": b'{"a":9007199254740992}',
        "far too large": b'{"a":99999999999999999999}',
        "negative zero": b'{"a":-0}',
        "leading zero": b'{"a":01}',
        "plus": b'{"a":+1}',
        "NaN": b'{"a":NaN}',
        "Infinity": b'{"a":-Infinity}',
        "too deep": b'{"a":' + b"[" * 16 + b"]" * 16 + b"}",
        "byte order mark": b"\xef\xbb\xbf{}",
        "not UTF-8": b'{"a":"\xff"}',
        "raw surrogate": b'{"a":"\xed\xa0\x80"}',
        "lone surrogate": rb'{"a":"\ud800"}',
        "surrogates the wrong way": rb'{"a":"\udc00\ud800"}',
        "NUL": rb'{"a":"\u0000"}',
        "lone surrogate in a name": rb'{"\udfff":1}',
        "line feed in text": b'{"a":"\n"}',
        "unknown escape": rb'{"a":"\x41"}',
        "single quotes": b"{'a':1}",
        "comment": b"{/**/}",
        "no-break space": b"{\xc2\xa0}",
    }
    return [
        *(case(name, {"object": data}, json.loads(data)) for name, data in good.items()),
        *(bad(name, {"object": data}) for name, data in refused.items()),
    ]


def keys() -> list[Case]:
    """Verifier keys of logs and witnesses."""

    def of(key: VerifierKey) -> dict[str, Any]:
        return {"name": key.name, "id": key.key_id.hex(), "public": key.public.hex()}

    def weak(encoding: str) -> dict[str, Any]:
        return spelt(ORIGIN, bytes.fromhex(encoding))

    def spelt(name: str, public: bytes = LOG.verifier.public) -> dict[str, Any]:
        """Spell any name and bytes as a key, with the id that is right for them."""
        digest = hashlib.sha256(name.encode() + b"\n\x01" + public).hexdigest()[:8]
        return {"vkey": f"{name}+{digest}+{b64(bytes([1]) + public)}", "algorithm": 1}

    text, witness = LOG.verifier.text(), WITNESSES[0].verifier
    name, key_id, encoded = text.split("+", 2)
    wide = SignerKey.from_seed("ล็อก.example/é", seed("log 0")).verifier
    points = {
        "the neutral element": "01" + "00" * 31,
        "order two": "ec" + "ff" * 30 + "7f",
        "order four": "00" * 32,
        "order eight": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "y above the prime": "ee" + "ff" * 30 + "7f",
        "sign on zero": "01" + "00" * 30 + "80",
        "not on the curve": "02" + "00" * 31,
        "mixed order": _mixed_order(),
    }
    return [
        case("a log", {"vkey": text, "algorithm": 1}, of(LOG.verifier)),
        case("a witness", {"vkey": witness.text(), "algorithm": 4}, of(witness)),
        case("a name in another script", {"vkey": wide.text(), "algorithm": 1}, of(wide)),
        bad("a witness as a log", {"vkey": witness.text(), "algorithm": 1}),
        bad("a log as a witness", {"vkey": text, "algorithm": 4}),
        bad("another id", {"vkey": f"{name}+00000000+{encoded}", "algorithm": 1}),
        bad("an id in capitals", {"vkey": f"{name}+{key_id.upper()}+{encoded}", "algorithm": 1}),
        bad("a name with a space", spelt("a b")),
        bad("a name with a next-line character", spelt("a\u0085b")),
        bad("a name with a no-break space", spelt("a\u00a0b")),
        bad("no name", spelt("")),
        bad("no plus", {"vkey": ORIGIN, "algorithm": 1}),
        bad("31 bytes", spelt(ORIGIN, LOG.verifier.public[:-1])),
        bad("33 bytes", spelt(ORIGIN, LOG.verifier.public + bytes(1))),
        bad("a letter that is not base64", {"vkey": f"{name}+{key_id}+*{encoded[1:]}", "algorithm": 1}),
        bad("a space in the base64", {"vkey": f"{name}+{key_id}+{encoded[:4]} {encoded[4:]}", "algorithm": 1}),
        bad("a line feed at the end", {"vkey": text + "\n", "algorithm": 1}),
        bad(
            "base64 with unused bits set",
            {"vkey": f"{name}+{key_id}+{encoded[:-2]}{chr(ord(encoded[-2]) + 1)}=", "algorithm": 1},
        ),
        bad("base64 cut short", {"vkey": text[:-4], "algorithm": 1}),
        *(bad(f"a weak key: {what}", weak(point)) for what, point in points.items()),
    ]


def _mixed_order() -> str:
    """Return a point that is a good key plus the point of order two."""
    point, two = ed25519._decode(ISSUER.public), (0, ed25519._P - 1, 1, 0)
    assert point is not None
    x, y, z, _ = ed25519._add(point, two)
    inverse = pow(z, -1, ed25519._P)
    encoded = (y * inverse % ed25519._P) | ((x * inverse % ed25519._P & 1) << 255)
    return encoded.to_bytes(32, "little").hex()


def checkpoints() -> list[Case]:
    """Signed notes that are checkpoints of the pinned log."""
    pinned = [LOG.verifier.text()]
    text, note = TREE.text(9), TREE.checkpoint(9)
    gives = {"size": "9", "root": b64(TREE.roots[9])}

    def given(data: bytes, keys: list[str] = pinned) -> dict[str, Any]:
        return {"keys": keys, "crossings": [], "note": data}

    def signed(text: str) -> dict[str, Any]:
        """Sign any text, whether a note may carry it or not."""
        signature = ed25519.sign(LOG.seed, text.encode())
        return given(f"{text}\n{Signature(ORIGIN, LOG.verifier.key_id, signature).line()}".encode())

    root, extended = b64(TREE.roots[9]), f"{text.decode()}an extension\n"
    _, (by_log,) = split_note(note)
    flipped = Signature(by_log.name, by_log.key_id, by_log.signature[:-1] + bytes([by_log.signature[-1] ^ 1]))
    crooked = [Signature(by_log.name, by_log.key_id, _with_neutral_r(LOG.seed, text, each)) for each in NEUTRAL]
    malleable = Signature(by_log.name, by_log.key_id, _with_large_s(by_log.signature))
    strangers = [Signature("stranger.example", bytes(4), bytes([n] * 64)) for n in range(64)]
    plain = note.decode()
    return [
        case("nine leaves", given(note), gives),
        case("no leaf", given(TREE.checkpoint(0)), {"size": "0", "root": b64(merkle.EMPTY_ROOT)}),
        case("signed by others too", given(format_note(text, [*strangers[:2], by_log])), gives),
        case("64 signatures", given(format_note(text, [*strangers[:63], by_log])), gives),
        case("an extension", signed(extended), gives),
        case("16 digits", signed(f"{ORIGIN}\n9999999999999999\n{root}\n"), {"size": "9999999999999999", "root": root}),
        bad("65 signatures", given(note + "".join(each.line() for each in strangers).encode())),
        bad("a flipped bit in the signature", given(format_note(text, [flipped]))),
        bad("a bad signature beside a good one", given(format_note(text, [by_log, flipped]))),
        bad("R is the neutral element", given(format_note(text, [crooked[0]]))),
        bad("R is the neutral element, y beyond the prime", given(format_note(text, [crooked[1]]))),
        bad("R is the neutral element, with a sign", given(format_note(text, [crooked[2]]))),
        bad("S beyond the order", given(format_note(text, [malleable]))),
        bad(
            "a signature cut short",
            given(format_note(text, [Signature(by_log.name, by_log.key_id, by_log.signature[:-1])])),
        ),
        bad("another size", given(plain.replace("\n9\n", "\n8\n").encode())),
        bad("another root", given(plain.replace(root, b64(TREE.roots[8])).encode())),
        bad("signed with an unpinned key", given(TREE.checkpoint(9, OTHER))),
        bad("signed by a log of another name", given(sign_note(text, ELSEWHERE))),
        bad("another pinned key", given(note, [OTHER.verifier.text()])),
        bad(
            "no key of the log, though it names one",
            given(format_note(text, [Signature(ORIGIN, OTHER.verifier.key_id, by_log.signature)])),
        ),
        bad("a foreign origin under the log's key", signed(f"other.example/log/1\n9\n{root}\n")),
        bad("leading zero", signed(f"{ORIGIN}\n09\n{root}\n")),
        bad("a plus", signed(f"{ORIGIN}\n+9\n{root}\n")),
        bad("digits of another script", signed(f"{ORIGIN}\n٩\n{root}\n")),
        bad("17 digits", signed(f"{ORIGIN}\n10000000000000000\n{root}\n")),
        bad("empty with a root", signed(f"{ORIGIN}\n0\n{root}\n")),
        bad("a short root", signed(f"{ORIGIN}\n9\n{b64(bytes(31))}\n")),
        bad("no root", signed(f"{ORIGIN}\n9\n")),
        bad("an empty line", signed(f"{ORIGIN}\n9\n{root}\n\nmore\n")),
        bad("no signature", given(text + b"\n")),
        bad("no empty line", given(plain.replace("\n\n", "\n").encode())),
        bad("no line feed at the end", given(note[:-1])),
        bad("a tab", signed(f"{extended}\t\n")),
        bad("an unsigned character instead of the last line feed", given(note[:-1] + b"x")),
        bad("a name with a plus in a signature by nobody", given(note + "\u2014 a+b AAAAAAAA\n".encode())),
        bad("a key id without a signature by nobody", given(note + "\u2014 a AAAAAA==\n".encode())),
        bad("carriage returns", given(note.replace(b"\n", b"\r\n"))),
        bad("a hyphen for the dash", given(note.replace("\u2014".encode(), b"-"))),
        bad("not UTF-8", given(note + b"\xff\n")),
        bad("too large", signed(f"{extended}{'x' * 262_144}\n")),
        bad("nothing", given(b"")),
    ]


def _scalar(secret: bytes) -> int:
    digest = bytearray(hashlib.sha512(secret).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    return int.from_bytes(digest, "little")


NEUTRAL = (ed25519.IDENTITY, bytes.fromhex("ee" + "ff" * 30 + "7f"), bytes.fromhex("01" + "00" * 30 + "80"))
"""The neutral element: as it is spelt, with y above the prime, with a sign on x = 0."""


def _with_neutral_r(secret: bytes, text: bytes, spelt: bytes = ed25519.IDENTITY) -> bytes:
    """Return a signature that satisfies the equation with R = the neutral element: only its spelling refuses it."""
    challenge = hashlib.sha512(spelt + ed25519.public_key_of(secret) + text).digest()
    scalar = int.from_bytes(challenge, "little") * _scalar(secret) % ORDER_OF_BASE_POINT
    return spelt + scalar.to_bytes(32, "little")


def _with_large_s(signature: bytes) -> bytes:
    """Return the other spelling of a signature, with S raised by the order."""
    scalar = int.from_bytes(signature[32:], "little") + ORDER_OF_BASE_POINT
    return signature[:32] + scalar.to_bytes(32, "little")


def inclusions() -> list[Case]:
    """Inclusion proofs in trees of 1 to 21 leaves, and what is wrong with others."""

    def given(place: int, within: int, **changes: Any) -> dict[str, Any]:
        shown = {
            "leaf": b64(leaf_hash(entry_of(TREE.bodies[place]))),
            "index": str(place),
            "size": str(within),
            "root": b64(TREE.roots[within]),
            "proof": [b64(each) for each in TREE.inclusion(place, within)] if place < within else [],
        }
        return shown | changes

    proof = given(5, 11)["proof"]
    climbed = b64(merkle.node_hash(unb64(proof[0]), unb64(given(0, 1)["leaf"])))
    pairs = [(0, 1), (0, 2), (1, 2), (2, 3), (3, 7), (6, 7), (7, 8), (8, 9), (0, 16), (15, 17), (16, 17), (20, 21)]
    return [
        *(case(f"leaf {index} of {size}", given(index, size)) for index, size in pairs),
        bad("another leaf", given(5, 11, leaf=b64(leaf_hash(b"another")))),
        bad("another index", given(5, 11, index="4")),
        bad("another size", given(5, 11, size="17")),
        bad("another root", given(5, 11, root=b64(TREE.roots[12]))),
        bad("an index beyond the tree", given(11, 11)),
        bad("an index just beyond a tree of one", given(0, 1, index="1")),
        bad("a hash too many that leads to the root", given(0, 1, proof=[proof[0]], root=climbed)),
        bad("an index far beyond", given(5, 11, index="9007199254740993")),
        bad("one hash too few", given(5, 11, proof=proof[:-1])),
        bad("one hash too many", given(5, 11, proof=[*proof, proof[0]])),
        bad("two hashes exchanged", given(5, 11, proof=[proof[1], proof[0], *proof[2:]])),
        bad("a proof where none is needed", given(0, 1, proof=[proof[0]])),
        bad("the empty tree", given(0, 1, size="0", root=b64(merkle.EMPTY_ROOT))),
        bad("a short hash", given(5, 11, proof=[b64(bytes(31)), *proof[1:]])),
    ]


def consistencies() -> list[Case]:
    """Consistency proofs between trees of 0 to 21 leaves, and what is wrong with others."""

    def given(old: int, new: int, **changes: Any) -> dict[str, Any]:
        shown = {
            "old_size": str(old),
            "old_root": b64(TREE.roots[old]),
            "size": str(new),
            "root": b64(TREE.roots[new]),
            "proof": [b64(each) for each in TREE.consistency(old, new)],
        }
        return shown | changes

    proof = given(6, 11)["proof"]
    pairs = [
        (0, 0),
        (0, 5),
        (1, 1),
        (1, 2),
        (2, 3),
        (3, 7),
        (4, 8),
        (6, 11),
        (7, 8),
        (8, 21),
        (11, 11),
        (15, 16),
        (20, 21),
    ]
    return [
        *(case(f"{old} to {size}", given(old, size)) for old, size in pairs),
        bad(
            "rolled back",
            given(6, 11, old_size="11", old_root=b64(TREE.roots[11]), size="6", root=b64(TREE.roots[6]), proof=[]),
        ),
        bad("forked, another old root", given(6, 11, old_root=b64(FORKED.roots[6]))),
        bad("rolled back by one with one root", given(1, 1, old_size="2")),
        bad("forked, another new root", given(6, 11, root=b64(FORKED.roots[11]))),
        bad("forked from a power of two", given(8, 21, old_root=b64(FORKED.roots[8]))),
        bad("forked at one size", given(11, 11, root=b64(FORKED.roots[11]))),
        bad("the proof of another size", given(6, 11, size="12", root=b64(TREE.roots[12]))),
        bad("no proof", given(6, 11, proof=[])),
        bad("one hash too few", given(6, 11, proof=proof[:-1])),
        bad("one hash too many", given(6, 11, proof=[*proof, proof[0]])),
        bad("a proof for equal sizes", given(11, 11, proof=[proof[0]])),
        bad("a proof from nothing", given(0, 5, proof=[proof[0]])),
        bad("from nothing with a root", given(0, 5, old_root=b64(TREE.roots[5]))),
        bad("nothing with a root", given(0, 0, root=b64(TREE.roots[1]))),
    ]


def receipts() -> list[Case]:
    """Receipts for a line under a pinned key of the log."""
    pinned = [LOG.verifier.text()]

    def given(
        data: bytes, line_id: str = LINE_ID, keys: list[str] = pinned, crossings: list[str] | None = None
    ) -> Case:
        return {"keys": keys, "crossings": crossings or [], "receipt": data, "line_id": line_id}

    def of_event(kind: str, **members: Any) -> bytes:
        return Tree(*TREE.bodies[:2], body_of(2, kind, **members)).receipt(2, 3)

    def proven(kind: str, seq: int) -> dict[str, Any]:
        return {"kind": kind, "seq": str(seq)}

    accepted, ack_id = TREE.receipt(1, 13), line.line_id(ACK_LINE)
    other = line.line_id(ACK_LINE[:-1] + b"A")
    event = b64(TREE.bodies[1])
    first, second = ROTATED.receipt(5, 6, LOG, NEXT).decode(), ROTATED.receipt(7, 8, NEXT, THIRD).decode()
    spliced = accepted.replace(event.encode(), b64(TREE.bodies[2]).encode())
    about: dict[str, Any] = {
        "kind": "bulletin.accepted",
        "detail": {"kind": "alert", "topic": "cyber.scam", "tlp": "CLEAR"},
    }
    return [
        case("accepted", given(accepted), proven("bulletin.accepted", 1)),
        case("accepted, in a smaller tree", given(TREE.receipt(1, 2)), proven("bulletin.accepted", 1)),
        case("released", given(TREE.receipt(2, 13)), proven("bulletin.released", 2)),
        case("opened, for the bulletin", given(TREE.receipt(3, 13)), proven("bulletin.opened", 3)),
        case("opened, for the acknowledgement", given(TREE.receipt(3, 13), ack_id), proven("bulletin.opened", 3)),
        case("after a rotation", given(ROTATED.receipt(1, 7, NEXT), crossings=[first]), proven("bulletin.accepted", 1)),
        case(
            "before it, with the keys of both",
            given(TREE.receipt(1, 3), crossings=[first, second]),
            proven("bulletin.accepted", 1),
        ),
        *(
            case(f"of the kind {kind}", given(of_event(kind, object=LINE_ID)), proven(kind, 2))
            for kind, outcome in KINDS.items()
            if outcome != "refused" and kind != "bulletin.accepted"
        ),
        *(
            bad(f"of the kind {kind}", given(of_event(kind, object=LINE_ID)))
            for kind, outcome in KINDS.items()
            if outcome == "refused"
        ),
        bad("refused", given(TREE.receipt(4, 13))),
        bad("for another line", given(accepted, other)),
        bad("ids that only a release has", given(of_event("bulletin.sent", detail=NAMED))),
        bad("an acknowledgement that only an opening has", given(of_event("bulletin.sent", detail={"ack": LINE_ID}))),
        bad(
            "an altered event",
            given(accepted.replace(event.encode(), b64(body_of(1, object=LINE_ID, **about)).encode())),
        ),
        bad("the event of another receipt", given(spliced)),
        bad("another index", given(TREE.receipt(1, 13, index=2))),
        bad("an index beyond the tree", given(TREE.receipt(1, 13, index=13))),
        bad("the proof of another leaf", given(TREE.receipt(1, 13, proof=tuple(TREE.inclusion(2, 13))))),
        bad("a checkpoint of another size", given(TREE.receipt(1, 13, checkpoint=TREE.checkpoint(12)))),
        bad("a checkpoint by another key", given(TREE.receipt(1, 13, OTHER))),
        bad("another pinned key", given(accepted, keys=[OTHER.verifier.text()])),
        bad(
            "of a forked log, its checkpoint of the true one",
            given(FORKED.receipt(3, 13, checkpoint=TREE.checkpoint(13))),
        ),
        bad("without an event", given(TREE.receipt(1, 13, extra=None))),
        bad("an event that is no object", given(Tree(b"[]").receipt(0, 1))),
        bad("above a rotation, by the former key alone", given(ROTATED.receipt(1, 7), crossings=[first])),
        bad("below a rotation, by the new key alone", given(TREE.receipt(1, 3, NEXT), crossings=[first])),
        bad("another first line", given(accepted.replace(b"@v1", b"@v2"))),
        bad("an index with a leading zero", given(accepted.replace(b"index 1\n", b"index 01\n"))),
        bad("no index", given(accepted.replace(b"index 1\n", b""))),
        bad("another word for index", given(accepted.replace(b"index 1\n", b"entry 1\n"))),
        bad("64 hashes", given(TREE.receipt(1, 13, proof=tuple([bytes(32)] * 64)))),
        bad("base64 with unused bits set", given(Tree(b"{}").receipt(0, 1).replace(b"extra e30=", b"extra e31="))),
        bad("no checkpoint", given(accepted.partition(b"\n\n")[0])),
        bad(
            "too large",
            given(Tree(canonical({"kind": "view.read", "object": LINE_ID, "x": "x" * 262_144})).receipt(0, 1)),
        ),
        bad("nothing", given(b"")),
    ]


def rotations() -> list[Case]:
    """Checkpoints of a log whose key was changed; each crossing is the receipt of a `log.key` event."""
    pinned = [LOG.verifier.text()]
    first, second = ROTATED.receipt(5, 6, LOG, NEXT), ROTATED.receipt(7, 8, NEXT, THIRD)
    both = [first.decode(), second.decode()]

    def given(size: int, *signers: SignerKey, crossings: list[str] = both) -> dict[str, Any]:
        return {"keys": pinned, "crossings": crossings, "note": ROTATED.checkpoint(size, *signers)}

    def holds(name: str, size: int, *signers: SignerKey, crossings: list[str] = both) -> Case:
        gives = {"size": str(size), "root": b64(ROTATED.roots[size])}
        return case(name, given(size, *signers, crossings=crossings), gives)

    def forged(*signers: SignerKey, kind: str = "log.key", **changes: Any) -> dict[str, Any]:
        tree = Tree(*TREE.bodies[:5], body_of(5, kind, party="*", object=LINE_ID, detail=announcement(**changes)))
        shown = tree.receipt(5, 6, *signers).decode()
        return {"keys": pinned, "crossings": [shown], "note": ROTATED.checkpoint(5, LOG)}

    witness = WITNESSES[0].verifier.text()
    unordered = [second.decode(), first.decode()]
    odd: dict[str, dict[str, Any]] = {
        "another version": {"v": 2},
        "a member more": {"more": 1},
        "a member less": {"salt": None},
        "text as time": {"time": "1"},
        "a number as object": {"object": 1},
        "no detail": {"detail": 0},
        "a list as detail": {"detail": []},
    }

    def odd_event(**members: Any) -> dict[str, Any]:
        event = json.loads(ROTATED.bodies[5]) | members
        body = canonical({name: value for name, value in event.items() if value is not None})
        shown = Tree(*TREE.bodies[:5], body).receipt(5, 6, LOG, NEXT).decode()
        return {"keys": pinned, "crossings": [shown], "note": ROTATED.checkpoint(5, LOG)}

    later = body_of(3, "log.key", party="*", object=LINE_ID, detail=announcement(THIRD, NEXT))
    mixed = Tree(*TREE.bodies[:3], later, TREE.bodies[4], *ROTATED.bodies[5:])
    backwards = [mixed.receipt(5, 6, LOG, NEXT).decode(), mixed.receipt(3, 9, NEXT, THIRD).decode()]
    return [
        holds("below the announcement, by the first key", 5, LOG),
        holds("above it, by both", 6, LOG, NEXT),
        holds("above it, by the new one alone", 7, NEXT),
        holds("above the second, by the third", 9, THIRD),
        holds("above the second, by two", 8, NEXT, THIRD),
        holds("crossed once, above the first", 7, NEXT, crossings=both[:1]),
        bad("above it, by the first key alone", given(6, LOG)),
        bad("below it, by the new key alone", given(5, NEXT)),
        bad("above the second, by the second alone", given(9, NEXT)),
        bad("without the crossing", given(7, NEXT, crossings=[])),
        bad("crossings in the wrong order", given(9, THIRD, crossings=unordered)),
        bad("a crossing twice", given(7, NEXT, crossings=[both[0], both[0]])),
        bad("announced, not signed by the new key", forged(LOG)),
        bad("announced, not signed by the former", forged(NEXT)),
        bad("by a former that is not pinned", forged(LOG, NEXT, former=OTHER.verifier.text())),
        bad("a key of another name", forged(LOG, NEXT, log_key=ELSEWHERE.verifier.text())),
        bad("the key of a witness", forged(LOG, NEXT, log_key=witness)),
        bad("the same key again", forged(LOG, log_key=LOG.verifier.text())),
        bad("no key", forged(LOG, NEXT, log_key=None)),
        bad("a key in a list", forged(LOG, NEXT, log_key=[NEXT.verifier.text()])),
        bad("the second announced below the first", {**given(9, THIRD), "crossings": backwards}),
        *(bad(f"an event with {what}", odd_event(**members)) for what, members in odd.items()),
        bad("until is text", forged(LOG, NEXT, until="tomorrow")),
        bad("another kind of event", forged(LOG, NEXT, kind="view.read")),
    ]


def lines() -> list[Case]:
    """Signed lines, each with the record of the key that is said to have signed it."""

    def given(data: bytes, record: Any = RECORD) -> dict[str, Any]:
        return {"line": data, "record": record}

    def holds(name: str, data: bytes, record: dict[str, str] = RECORD) -> Case:
        head = json.loads(_unb64u(data.split(b".")[0]))
        return case(name, given(data, record), {"id": line.line_id(data), "iss": head["iss"], "typ": head["typ"]})

    def header(raw: bytes) -> dict[str, Any]:
        """Sign any bytes as a header."""
        return given(_signed(raw, PAYLOAD))

    def changed(**changes: Any) -> dict[str, Any]:
        members = {"alg": "Ed25519", "kid": ISSUER.kid} | HEADER | changes
        return header(canonical({name: value for name, value in members.items() if value is not None}))

    head, payload, signature = LINE.split(b".")

    def raw(part: bytes) -> dict[str, Any]:
        """Sign any text as the payload part."""
        signed = head + b"." + part
        return given(signed + b"." + b64u(ISSUER.sign(signed)).encode())

    def crooked(spelt: bytes) -> dict[str, Any]:
        """Sign with an R that is the neutral element."""
        signed = head + b"." + payload
        return given(signed + b"." + b64u(_with_neutral_r(ISSUER.seed, signed, spelt)).encode())

    full = {"alg": "Ed25519", "kid": ISSUER.kid} | HEADER
    every = _signed(canonical(full | {"tlp": "GREEN", "release_to": ["*"]}), PAYLOAD)
    order = {"typ": "vnd.lintas.key", "iss": "admin/registrar", "aud": HUB, "iat": NOW}
    last = chr(signature[-1]).encode()
    twisted = signature[:-1] + {b"A": b"B", b"Q": b"R", b"g": b"h", b"w": b"x"}[last]
    return [
        holds("a bulletin", LINE),
        holds("an acknowledgement", ACK_LINE, ACK_RECORD),
        holds("of an administrator", line.sign(order, b"{}", ISSUER), RECORD | {"agency": "admin/registrar"}),
        holds(
            "a token, its payload empty",
            line.sign(
                {**order, "typ": TOKEN, "iss": "my-police", "exp": NOW + 300, "scope": "read", "case_ref": "SIM 1/2"},
                b"",
                ISSUER,
            ),
        ),
        holds("released to all", every),
        holds(
            "sealed, with references",
            _signed(canonical(full | {"enc": "hpke", "refs": [f"answers:{LINE_ID}"]}), PAYLOAD),
        ),
        holds("the older name of the algorithm", _signed(canonical(full | {"alg": "EdDSA"}), PAYLOAD)),
        holds("spaces in the header", _signed(json.dumps(full, indent=1).encode(), PAYLOAD)),
        holds("a payload that nobody reads here", _signed(canonical(full), b"\x00\xff")),
        bad(
            "a flipped bit in the payload",
            given(b".".join([head, bytes([payload[0]]) + b"A" + payload[2:], signature])),
        ),
        bad("the signature of another line", given(b".".join([head, payload, ACK_LINE.split(b".")[2]]))),
        bad("unused bits of the signature set", given(b".".join([head, payload, twisted]))),
        bad("R is the neutral element", crooked(NEUTRAL[0])),
        bad("R is the neutral element, y beyond the prime", crooked(NEUTRAL[1])),
        bad("R is the neutral element, with a sign", crooked(NEUTRAL[2])),
        bad(
            "S beyond the order", given(head + b"." + payload + b"." + b64u(_with_large_s(_unb64u(signature))).encode())
        ),
        bad("two parts", given(head + b"." + payload)),
        bad("four parts", given(LINE + b".")),
        bad("a line feed at the end", given(LINE + b"\n")),
        bad("a space before", given(b" " + LINE)),
        bad("padding", given(b".".join([head + b"=", payload, signature]))),
        bad("the alphabet of base64", raw(b"+/8")),
        bad("padding, signed", raw(b"e30=")),
        bad("unused bits set, signed", raw(b"e31")),
        bad("a part that is one character too long", raw(b"e30ab")),
        bad(
            "signed with another key under the id of the issuer's",
            given(_signed(canonical(full), PAYLOAD, RECIPIENT), RECORD | {"public": RECIPIENT.public.hex()}),
        ),
        bad(
            "signed with the key under the id of another",
            given(_signed(canonical(full | {"kid": RECIPIENT.kid}), PAYLOAD)),
        ),
        bad("a record with half a key", given(LINE, RECORD | {"public": RECORD["public"][:32]})),
        bad("a record with its key in a list", given(LINE, RECORD | {"public": [RECORD["public"]]})),
        bad("the key of another agency", given(LINE, ACK_RECORD)),
        bad("the key under the name of another", given(LINE, RECORD | {"agency": "sg-fiu"})),
        bad("a record with the id of another key", given(LINE, RECORD | {"public": RECIPIENT.public.hex()})),
        bad("a record without a key", given(LINE, {"agency": "my-police", "kid": ISSUER.kid})),
        bad("a member more", changed(jku="https://evil.example/keys")),
        bad("a member without a name", changed(**{"": 1})),
        bad("crit", changed(crit=[])),
        bad("b64", changed(b64=False)),
        bad("a member of another kind of line", changed(scope="read")),
        bad("a member less", changed(urgency=None)),
        bad("a duplicate member", header(canonical(full)[:-1] + b',"tlp":"CLEAR"}')),
        bad("no algorithm", changed(alg="none")),
        bad("another algorithm", changed(alg="HS256")),
        bad("another kind", changed(typ="JWT")),
        bad("a kind in a list", changed(typ=[BULLETIN])),
        bad("a kind in capitals", changed(typ=BULLETIN.upper())),
        bad("a time with a fraction", header(canonical(full).replace(b'"iat":1795467600', b'"iat":1795467600.0'))),
        bad("a time below zero", changed(iat=-1)),
        bad("true as a time", changed(iat=True)),
        bad("longer than five years", changed(exp=NOW + 5 * 366 * 86_400 + 1)),
        bad("another marking", changed(tlp="WHITE")),
        bad("AMBER to all", changed(release_to=["*"])),
        bad("sealed to all", changed(release_to=["*"], tlp="GREEN", enc="hpke")),
        bad("all and one", changed(release_to=["*", "sg-fiu"], tlp="GREEN")),
        bad("no recipient", changed(release_to=[])),
        bad("recipients unsorted", changed(release_to=["sg-fiu", "id-police"])),
        bad("a recipient twice", changed(release_to=["sg-fiu", "sg-fiu"])),
        bad("to oneself", changed(release_to=["my-police", "sg-fiu"])),
        bad("257 recipients", changed(release_to=[f"id-a{n:03}" for n in range(257)])),
        bad("a look-alike letter", changed(iss="my-p\u043elice")),
        bad("a hub without its suffix", changed(aud="exercise.lintas.example")),
        bad("an unknown relation", changed(refs=[f"likes:{LINE_ID}"])),
        bad("an id with unused bits set", changed(refs=[f"answers:{LINE_ID[:-1]}B"])),
        bad("a header that is too large", header(b" " * 4_096 + canonical(full))),
        bad(
            "a key line that is too large",
            given(line.sign(order, b'{"a":"' + b"a" * 16_384 + b'"}', ISSUER), RECORD | {"agency": "admin/registrar"}),
        ),
        bad("no header", given(b"." + payload + b"." + signature)),
        bad("nothing", given(b"")),
    ]


def _unb64u(part: bytes) -> bytes:
    return unb64(part.decode().replace("-", "+").replace("_", "/") + "=" * (-len(part) % 4))


def _signed(header: bytes, payload: bytes, signer: SigningKey = ISSUER) -> bytes:
    return line.sign_under(b64u(header), payload, signer)


POLICY = "".join(f"witness w{n} {key.verifier.text()}\n" for n, key in enumerate(WITNESSES[:3]))
TWO_OF_THREE = f"{POLICY}group enough 2 w0 w1 w2\nquorum enough\n".encode()


def cosignatures() -> list[Case]:
    """Cosigned checkpoints, judged by a policy."""
    pinned = [LOG.verifier.text()]
    text = TREE.text(9)

    def note(*lines: Signature, signers: tuple[SignerKey, ...] = (LOG,)) -> bytes:
        _, by_log = split_note(sign_note(text, *signers))
        return format_note(text, [*by_log, *lines])

    def by(*places: int) -> list[Signature]:
        return [cosign(text, WITNESSES[place], time=NOW + place) for place in places]

    def given(data: bytes, policy: bytes = TWO_OF_THREE) -> dict[str, Any]:
        return {"keys": pinned, "crossings": [], "note": data, "policy": policy}

    def holds(name: str, places: list[int], *, enough: bool, policy: bytes = TWO_OF_THREE) -> Case:
        times = {WITNESSES[place].name: str(NOW + place) for place in places if place < 3}
        return case(name, given(note(*by(*places)), policy), {"times": times, "enough": enough})

    def raw(time: int, text_signed: bytes, key: SignerKey = WITNESSES[0]) -> Signature:
        signature = time.to_bytes(8, "big") + ed25519.sign(key.seed, text_signed)
        return Signature(key.name, key.verifier.key_id, signature)

    def policy(text: str) -> dict[str, Any]:
        return given(note(*by(0, 1, 2)), text.encode("latin-1"))

    keys = [key.verifier.text() for key in WITNESSES]
    nested = f"{POLICY}witness w3 {keys[3]}\ngroup a any w0 w1\ngroup b all a w2 w3\nquorum b\n".encode()
    last = 2**63 - 1
    forever = cosign(text, WITNESSES[0], time=last)
    return [
        holds("two of three", [0, 2], enough=True),
        holds("three of three", [2, 1, 0], enough=True),
        holds("one of three", [1], enough=False),
        holds("none", [], enough=False),
        holds("one, with a stranger", [0, 3], enough=False),
        case("the same twice", given(note(*by(0, 0))), {"times": {WITNESSES[0].name: str(NOW)}, "enough": False}),
        case(
            "groups of groups",
            given(note(*by(1, 2, 3)), nested),
            {"times": {WITNESSES[n].name: str(NOW + n) for n in (1, 2, 3)}, "enough": True},
        ),
        case(
            "groups of groups, one missing",
            given(note(*by(0, 1, 2)), nested),
            {"times": {WITNESSES[n].name: str(NOW + n) for n in (0, 1, 2)}, "enough": False},
        ),
        case(
            "one witness as quorum",
            given(note(*by(1)), f"{POLICY}quorum w1\n".encode()),
            {"times": {WITNESSES[1].name: str(NOW + 1)}, "enough": True},
        ),
        holds("quorum none", [0, 1, 2], enough=False, policy=f"{POLICY}quorum none\n".encode()),
        holds(
            "a policy of this log",
            [0, 1],
            enough=True,
            policy=f"log {pinned[0]} https://hub.example\n".encode() + TWO_OF_THREE,
        ),
        holds(
            "comments, tabs, blank lines",
            [0, 1],
            enough=True,
            policy=b"# kept by hand\n\n" + TWO_OF_THREE.replace(b"quorum ", b"\tquorum\t "),
        ),
        holds("names that are no UTF-8", [0, 1], enough=True, policy=TWO_OF_THREE.replace(b"enough", b"\xff\xfe")),
        case("the last second", given(note(forever)), {"times": {WITNESSES[0].name: str(last)}, "enough": False}),
        bad("a second after the last", given(note(raw(2**63, signed_text(text, 2**63))))),
        bad("at the second zero", given(note(raw(0, signed_text(text, 0))))),
        bad("another time than was signed", given(note(raw(NOW + 1, signed_text(text, NOW))))),
        bad("the text without the time", given(note(raw(NOW, text)))),
        bad("another tree", given(note(raw(NOW, signed_text(TREE.text(8), NOW))))),
        bad(
            "a cosignature cut short", given(note(Signature(WITNESSES[0].name, WITNESSES[0].verifier.key_id, bytes(7))))
        ),
        bad("a bad cosignature beside two good ones", given(note(*by(0, 1), raw(NOW, text, WITNESSES[2])))),
        bad("without the log's signature", given(format_note(text, by(0, 1, 2)))),
        bad("by another log key", given(note(*by(0, 1), signers=(OTHER,)))),
        bad(
            "a policy of another log", given(note(*by(0, 1)), f"log {OTHER.verifier.text()}\n".encode() + TWO_OF_THREE)
        ),
        bad("no quorum", policy(POLICY)),
        bad("two quorums", policy(f"{POLICY}quorum w0\nquorum w0\n")),
        bad("a quorum that is on no earlier line", policy(f"quorum w0\n{POLICY}")),
        bad("a name twice", policy(f"witness w0 {keys[3]}\n{POLICY}quorum w0\n")),
        bad("a key twice", policy(f"{POLICY}witness again {keys[0]}\nquorum w0\n")),
        bad("the name none", policy(f"witness none {keys[0]}\nquorum none\n")),
        bad("a member twice", policy(f"{POLICY}group a 1 w0 w0\nquorum a\n")),
        bad("a member of two groups", policy(f"{POLICY}group a 1 w0\ngroup b 1 w0\nquorum a\n")),
        bad("a member that comes later", policy(f"group a 1 w0\n{POLICY}quorum a\n")),
        bad("a group of none", policy(f"{POLICY}group a any\nquorum a\n")),
        bad("three of two", policy(f"{POLICY}group a 3 w0 w1\nquorum a\n")),
        bad("zero of two", policy(f"{POLICY}group a 0 w0 w1\nquorum a\n")),
        bad("a number with a leading zero", policy(f"{POLICY}group a 02 w0 w1\nquorum a\n")),
        bad("the key of a log as a witness", policy(f"witness w0 {pinned[0]}\nquorum w0\n")),
        bad("an unknown word", policy(f"{POLICY}quorum w0\nextra\n")),
        bad("a carriage return", policy(f"{POLICY}quorum w0\r\n")),
        bad("cut short", policy(f"{POLICY}quorum w0")),
        bad(
            "33 groups",
            policy(
                POLICY
                + "".join(f"group g{n} any {'w0' if n == 0 else f'g{n - 1}'}\n" for n in range(33))
                + "quorum g0\n"
            ),
        ),
        bad("an empty policy", policy("")),
        bad("a policy that is too large", policy(f"{POLICY}quorum w0\n#{'x' * 65_536}\n")),
        bad("a control character in a comment", policy(f"{POLICY}quorum w0\n# \x7f\n")),
        bad("a log twice", policy(f"log {pinned[0]}\nlog {pinned[0]}\n{POLICY}quorum w0\n")),
        bad("another word before a name", policy(f"{POLICY}quart w0\n")),
        bad("two names as quorum", policy(f"{POLICY}quorum w0 w1\n")),
    ]


def evidence() -> list[Case]:
    """Pairs of checkpoints that may not fit each other, with the proof that was shown."""
    first, second = LOG.verifier.text(), NEXT.verifier.text()

    def given(known: bytes, shown: bytes, proof: bytes = b"", keys: list[str] | None = None) -> dict[str, Any]:
        return {"keys": keys or [first, second], "known": known, "shown": shown, "proof": proof}

    foreign = sign_note(f"other.example/log/1\n11\n{b64(FORKED.roots[11])}\n", LOG)
    six, eleven, other = TREE.checkpoint(6), TREE.checkpoint(11), FORKED.checkpoint(11)
    return [
        case("two roots of one size", given(eleven, other), "forked"),
        case("a proof from another beginning", given(six, other, FORKED.add_checkpoint(6, 11)), "forked"),
        case("the newer one known", given(other, six, FORKED.add_checkpoint(6, 11)), "forked"),
        case("the same", given(eleven, eleven), "same"),
        case("no proof", given(six, other), "unproven"),
        case("a good proof", given(six, eleven, TREE.add_checkpoint(6, 11)), "unproven"),
        case("a proof from a power of two", given(TREE.checkpoint(8), other, FORKED.add_checkpoint(8, 11)), "unproven"),
        case("a proof of other sizes", given(six, other, FORKED.add_checkpoint(7, 11)), "unproven"),
        case("a proof that is none", given(six, other, b"old 6\n"), "unproven"),
        case("two roots of one size by two keys", given(eleven, FORKED.checkpoint(11, NEXT)), "unproven"),
        case("two roots of one size, one key of both", given(eleven, FORKED.checkpoint(11, NEXT, LOG)), "forked"),
        bad("by a key that is not pinned", given(eleven, other, keys=[second])),
        bad("one by a key that is not pinned", given(eleven, FORKED.checkpoint(11, OTHER))),
        bad("of another log under the same key", given(eleven, foreign)),
        bad("a flipped bit", given(eleven, other.replace(b"\n11\n", b"\n12\n"))),
    ]


def updates() -> list[Case]:
    """What a log shows to one who knows an older checkpoint."""
    pinned = [LOG.verifier.text()]

    def given(known: bytes, body: bytes, crossings: list[str] | None = None) -> dict[str, Any]:
        return {"keys": pinned, "crossings": crossings or [], "known": known, "body": body}

    def holds(name: str, known: bytes, body: bytes, size: int) -> Case:
        return case(name, given(known, body), {"size": str(size), "root": b64(TREE.roots[size])})

    six, body = TREE.checkpoint(6), TREE.add_checkpoint(6, 11)
    forked, first = FORKED.checkpoint(6), ROTATED.receipt(5, 6, LOG, NEXT).decode()
    rotated = {"size": "7", "root": b64(ROTATED.roots[7])}
    return [
        holds("grown", six, body, 11),
        holds("not grown", six, TREE.add_checkpoint(6, 6), 6),
        holds("from nothing", TREE.checkpoint(0), TREE.add_checkpoint(0, 11), 11),
        case("over a rotation", given(TREE.checkpoint(5), ROTATED.add_checkpoint(5, 7, NEXT), [first]), rotated),
        bad("over a rotation by the former key", given(TREE.checkpoint(5), ROTATED.add_checkpoint(5, 7, LOG), [first])),
        bad("rolled back", given(TREE.checkpoint(11), b"old 11\n\n" + six)),
        bad("rolled back, with the proof of what it shows", given(TREE.checkpoint(11), TREE.add_checkpoint(6, 6))),
        bad("forked at one size", given(forked, TREE.add_checkpoint(6, 6))),
        bad("forked since", given(forked, body)),
        bad("the proof from another size", given(TREE.checkpoint(7), body)),
        bad("another old size than the proof's", given(six, body.replace(b"old 6", b"old 5"))),
        bad("an altered hash", given(six, _altered(body))),
        bad("a hash less", given(six, re.sub(rb"\n[^\n]+\n\n", b"\n\n", body, count=1))),
        bad("known, but not signed by the log", given(TREE.checkpoint(6, OTHER), body)),
        bad("shown, but not signed by the log", given(six, TREE.add_checkpoint(6, 11, OTHER))),
        bad("another first word", given(six, body.replace(b"old 6", b"new 6"))),
        bad("an old size with a leading zero", given(six, body.replace(b"old 6", b"old 06"))),
        bad("a checkpoint alone", given(six, TREE.checkpoint(11))),
        bad("no checkpoint", given(six, body.partition(b"\n\n")[0])),
    ]


def _altered(body: bytes) -> bytes:
    """Change the first letter of the first hash."""
    place = body.index(b"\n") + 1
    return body[:place] + (b"B" if body[place : place + 1] == b"A" else b"A") + body[place + 1 :]


FILES = {
    "objects": objects,
    "keys": keys,
    "checkpoints": checkpoints,
    "rotations": rotations,
    "inclusions": inclusions,
    "consistencies": consistencies,
    "updates": updates,
    "receipts": receipts,
    "lines": lines,
    "cosignatures": cosignatures,
    "evidence": evidence,
}
"""What is in each file; docs in README.md beside them."""


def text_of(name: str) -> str:
    """Return the text of one file, a case a line."""
    rows = ",\n".join(json.dumps(each, ensure_ascii=True, separators=(",", ":")) for each in FILES[name]())
    return f'{{"format":"lintas-vectors/1","check":"{name}","cases":[\n{rows}\n]}}\n'


def main() -> None:
    """Write all files."""
    for name in FILES:
        (FOLDER / f"{name}.json").write_text(text_of(name))


if __name__ == "__main__":
    main()
