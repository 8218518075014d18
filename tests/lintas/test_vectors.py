"""Tests of the shared vectors: they are current, and the Python and the browser's code take and refuse them alike.

The browser's code runs in Node here and, where there is one, in a real browser in tests/console.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lintas import ed25519, line, merkle
from lintas.checkpoint import open_checkpoint, parse_add_checkpoint, parse_hash
from lintas.crossing import read_crossing
from lintas.errors import BadProof, BadReceipt, LintasError
from lintas.evidence import Conflict, judge_conflict
from lintas.jwk import thumbprint
from lintas.log_keys import LogKeys
from lintas.note import b64, parse_vkey, unb64
from lintas.quorum import for_log, judge, parse_policy
from lintas.receipt import check_receipt, parse_receipt
from lintas.strict import parse_object
from tests.vectors.make import FILES, text_of

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests/vectors"
VERIFY = ROOT / "broker/web/console/static/verify.js"

Given = Mapping[str, Any]


def bytes_in(given: Given, name: str) -> bytes:
    """Return the bytes that a case has under this name, in whichever of the three spellings."""
    if f"{name}_runs" in given:
        return "".join(text * times for text, times in given[f"{name}_runs"]).encode()
    return unb64(given[f"{name}_b64"]) if f"{name}_b64" in given else str(given[name]).encode()


def ring(given: Given) -> LogKeys:
    """Return the keys of the log that a case pins, with those it crosses to."""
    keys = LogKeys.of(parse_vkey(given["keys"][0]))
    for crossing in given["crossings"]:
        keys = read_crossing(crossing.encode(), keys)
    return keys


def open_object(given: Given) -> Any:
    """Check a case of objects.json."""
    return parse_object(bytes_in(given, "object"))


def open_key(given: Given) -> Any:
    """Check a case of keys.json."""
    key = parse_vkey(given["vkey"], given["algorithm"])
    return {"name": key.name, "id": key.key_id.hex(), "public": key.public.hex()}


def open_tree(given: Given) -> Any:
    """Check a case of checkpoints.json or rotations.json."""
    keys = ring(given)
    tree = open_checkpoint(bytes_in(given, "note"), origin=keys.name, key=keys)
    return {"size": str(tree.size), "root": b64(tree.root)}


def check_inclusion(given: Given) -> None:
    """Check a case of inclusions.json."""
    proof = [parse_hash(each) for each in given["proof"]]
    merkle.check_inclusion(unb64(given["leaf"]), int(given["index"]), int(given["size"]), proof, unb64(given["root"]))


def check_consistency(given: Given) -> None:
    """Check a case of consistencies.json."""
    proof = [parse_hash(each) for each in given["proof"]]
    older, newer = (int(given["old_size"]), unb64(given["old_root"])), (int(given["size"]), unb64(given["root"]))
    merkle.check_consistency(*older, *newer, proof)


def check_update(given: Given) -> Any:
    """Check a case of updates.json: what a client does with the answer of the hub."""
    keys = ring(given)
    size, proof, note = parse_add_checkpoint(bytes_in(given, "body"))
    older, newer = (open_checkpoint(each, origin=keys.name, key=keys) for each in (bytes_in(given, "known"), note))
    if size != older.size:
        raise BadProof("It is from another size.")
    merkle.check_consistency(older.size, older.root, newer.size, newer.root, proof)
    return {"size": str(newer.size), "root": b64(newer.root)}


def check_line_receipt(given: Given) -> Any:
    """Check a case of receipts.json."""
    keys = ring(given)
    receipt = parse_receipt(bytes_in(given, "receipt"))
    proven = check_receipt(receipt, line_id=given["line_id"], origin=keys.name, key=keys)
    return {"kind": proven.event["kind"], "seq": str(proven.seq)}


def check_line(given: Given) -> Any:
    """Check a case of lines.json: what a client does with a key from its directory."""
    found, record = line.parse(bytes_in(given, "line")), given["record"]
    if not isinstance(record.get("public"), str):
        raise BadReceipt("It has no key.")
    public = bytes.fromhex(record["public"])
    ed25519.check_public_key(public)
    if thumbprint(public) != record["kid"] or (found.header.kid, found.header.iss) != (record["kid"], record["agency"]):
        raise BadReceipt("It is the key of another.")
    line.check(found, public)
    return {"id": found.id, "iss": found.header.iss, "typ": found.header.typ}


def check_cosigned(given: Given) -> Any:
    """Check a case of cosignatures.json."""
    keys = ring(given)
    policy = for_log(parse_policy(bytes_in(given, "policy")), *keys.keys)
    found = judge(bytes_in(given, "note"), key=keys, policy=policy)
    return {"times": {each.witness.name: str(each.time) for each in found.cosignatures}, "enough": found.is_enough}


def judge_evidence(given: Given) -> Any:
    """Check a case of evidence.json."""
    conflict = Conflict(*(bytes_in(given, name) for name in ("known", "shown", "proof")))
    verdict = judge_conflict(conflict, *map(parse_vkey, given["keys"]))
    return "forked" if verdict.is_proven else "same" if "are the same" in verdict.text else "unproven"


CHECKS: Mapping[str, Callable[[Given], Any]] = {
    "objects": open_object,
    "keys": open_key,
    "checkpoints": open_tree,
    "rotations": open_tree,
    "inclusions": check_inclusion,
    "consistencies": check_consistency,
    "updates": check_update,
    "receipts": check_line_receipt,
    "lines": check_line,
    "cosignatures": check_cosigned,
    "evidence": judge_evidence,
}


def outcome(check: str, given: Given) -> Any:
    """Return what a check gives, or that it refuses."""
    try:
        return {"gives": CHECKS[check](given)}
    except (LintasError, ValueError):
        return "refused"


def wanted(case: Given) -> Any:
    """Return the outcome that a case demands."""
    return {"gives": case["gives"]} if case["holds"] else "refused"


def cases(name: str) -> list[dict[str, Any]]:
    """Return the cases of one file."""
    found: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return found


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_current(name: str) -> None:
    """The tracked file is what the script makes, byte for byte."""
    assert text_of(name) == (VECTORS / f"{name}.json").read_text()


@pytest.mark.parametrize("name", FILES)
def test_names_are_unique(name: str) -> None:
    """A case is known by its name; both kinds of case occur."""
    found = cases(name)

    assert len(found) == len({(each["name"], each["holds"]) for each in found})
    assert {True, False} == {each["holds"] for each in found}


@pytest.mark.parametrize("name", FILES)
def test_python_agrees(name: str) -> None:
    """Lintas takes what the vectors say holds, with what it gives, and refuses the rest."""
    found = {each["name"]: (wanted(each), outcome(name, each["given"])) for each in cases(name)}

    assert {} == {case: pair for case, pair in found.items() if pair[0] != pair[1]}


def test_every_file_is_described() -> None:
    """The published format describes every file, and there is no other."""
    page = (VECTORS / "README.md").read_text()

    assert sorted(FILES) == sorted(path.stem for path in VECTORS.glob("*.json"))
    assert [] == [name for name in FILES if f"`{name}.json`" not in page]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[dict[str, Any]]]:
    """What the browser's code says of every case, run in Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is absent")
    program = ROOT / "tests/independent/vectors.mjs"
    files = [VECTORS / f"{name}.json" for name in FILES]
    done = subprocess.run([node, program, VERIFY, *files], capture_output=True, check=True)
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", FILES)
def test_verify_js_agrees(name: str, answers: dict[str, list[dict[str, Any]]]) -> None:
    """verify.js takes and refuses the same, with the same outcome; no case makes it fall over."""
    given = [(each["name"], wanted(each)) for each in cases(name)]
    found = [
        (each["name"], "refused" if "fault" in got else got)
        for each, got in zip(cases(name), answers[name], strict=True)
    ]

    assert given == found


def test_verify_js_is_small() -> None:
    """What an auditor has to read stays under 600 lines and needs nothing from elsewhere."""
    text = VERIFY.read_text()

    assert len(text.splitlines()) < 600
    assert [] == [word for word in ("import ", "innerHTML", "eval(", "fetch(", "document", "Date") if word in text]
