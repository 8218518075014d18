"""Tests that another implementation, the Go checksum database's, agrees about notes, proofs and tiles.

The verifier is tests/independent/verify.go. It needs Go and the package golang.org/x/mod as Debian ships it (packages
golang-go and golang-golang-x-mod-dev); without them these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lintas import merkle, note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.errors import BadNote, BadProof

GOPATH = Path("/usr/share/gocode")
VERIFIER = Path(__file__).resolve().parents[1] / "independent/verify.go"
EXHAUSTIVE = 40
SIZES = (1, 2, 255, 256, 257, 511, 512, 1_000, 65_536, 66_000)
OTHER = sha256(b"other").digest()
KEY = note.SignerKey.from_seed("hub.example/log/1", bytes(range(32)))
TEXT = "hub.example/log/1\n5\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
GOOD = note.sign_note(TEXT, KEY)

if shutil.which("go") is None:
    pytest.skip("Go is absent", allow_module_level=True)
if not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").exists():
    pytest.skip("golang.org/x/mod is absent (package golang-golang-x-mod-dev)", allow_module_level=True)


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the verifier."""
    place = tmp_path_factory.mktemp("go")
    settings = ["GO111MODULE=off", f"GOPATH={GOPATH}", f"GOCACHE={place / 'cache'}", "CGO_ENABLED=0"]
    subprocess.run(["env", *settings, "go", "build", "-o", place / "verify", VERIFIER], check=True)
    return place / "verify"


def ask(go: Path, **questions: list[Any]) -> Any:
    """Put questions to the verifier; bytes travel as base64."""
    asked = json.dumps(questions, default=lambda each: b64encode(each).decode())
    return json.loads(subprocess.run([go], input=asked.encode(), capture_output=True, check=True).stdout)


class Tree:
    """A log of this size, kept as rows of nodes."""

    def __init__(self, size: int) -> None:
        """Append the leaves, and keep the root of each size."""
        frontier = merkle.Frontier(0, ())
        self.leaves = [merkle.leaf_hash(sha256(number.to_bytes(4, "big")).digest()) for number in range(size)]
        self.rows: list[bytes] = []
        self.frontiers = [frontier]
        for leaf in self.leaves:
            frontier, nodes = frontier.append(leaf)
            self.frontiers.append(frontier)
            self.rows.append(nodes)

    def root(self, size: int) -> bytes:
        """Return the root at a size."""
        return self.frontiers[size].root()

    def get(self, wanted: Sequence[merkle.Address]) -> list[bytes]:
        """Fetch nodes."""
        places = [merkle.node_address(*address) for address in wanted]
        return [self.rows[seq][offset : offset + merkle.HASH_BYTES] for seq, offset in places]

    def tiles(self, size: int) -> dict[str, bytes]:
        """Return every tile of the tree of this size by address."""
        found = {}
        level = 0
        while hashes := size >> (merkle.TILE_HEIGHT * level):
            for index, first in enumerate(range(0, hashes, merkle.TILE_WIDTH)):
                width = min(merkle.TILE_WIDTH, hashes - first)
                data = b"".join(self.get(merkle.tile_nodes(level, index, width)))
                found[merkle.tile_path(level, index, width)] = data
            level += 1
        return found


@pytest.fixture(scope="module")
def tree() -> Tree:
    """A log large enough for three levels of tiles."""
    return Tree(max(SIZES))


def inclusion(tree: Tree, index: int, size: int) -> dict[str, Any]:
    """Return an inclusion proof as a question."""
    proof = merkle.inclusion_proof(index, size, tree.get)
    return {"leaf": tree.leaves[index], "index": index, "size": size, "root": tree.root(size), "proof": proof}


def consistency(tree: Tree, old: int, size: int) -> dict[str, Any]:
    """Return a consistency proof as a question."""
    proof = merkle.consistency_proof(old, size, tree.get)
    roots = {"oldRoot": tree.root(old), "root": tree.root(size)}
    return {"oldSize": old, "size": size, "proof": proof} | roots


def hashes(proof: list[str] | None) -> list[bytes]:
    """Read a proof that the verifier made."""
    return [b64decode(each) for each in proof or []]


def test_notes(go: Path) -> None:
    """Each opens the notes that the other signs, and both write the same bytes."""
    answer = ask(
        go,
        notes=[{"note": GOOD.decode(), "vkey": KEY.verifier.text()}],
        toSign=[{"text": TEXT, "skey": KEY.text()}],
    )

    (signed,) = answer["Signed"]
    assert [each["Text"] for each in answer["Notes"]] == [TEXT]
    assert signed.encode() == GOOD
    assert note.open_note(signed.encode(), [KEY.verifier]).text == TEXT.encode()


def test_checkpoint(go: Path) -> None:
    """Size and root of our checkpoints are read as we meant them."""
    root = sha256(b"root").digest()
    signed = note.sign_note(format_checkpoint(Checkpoint(KEY.name, 12_345, root)), KEY)

    (opened,) = ask(go, notes=[{"note": signed.decode(), "vkey": KEY.verifier.text()}])["Notes"]

    assert (opened["Tree"]["N"], opened["Tree"]["Hash"]) == (12_345, note.b64(root))


def test_tampered_notes(go: Path) -> None:
    """What the other implementation refuses, a changed letter at any place, another key, a bad line, so do we."""
    stranger = note.SignerKey.from_seed(KEY.name, bytes(32))
    text = GOOD.decode()
    tampered = [text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :] for place in range(len(text))]
    notes = [*tampered, text[:-1], text + "text\n", note.sign_note(TEXT, stranger).decode()]

    verdicts = ask(go, notes=[{"note": each, "vkey": KEY.verifier.text()} for each in notes])["Notes"]

    assert verdicts == [None] * len(notes)
    for each in notes:
        with pytest.raises(BadNote):
            note.open_note(each.encode(), [KEY.verifier])


def test_inclusion_proofs(go: Path, tree: Tree) -> None:
    """Every inclusion proof in trees up to 40 leaves, and some in larger ones, is accepted."""
    small = [(index, size) for size in range(EXHAUSTIVE + 1) for index in range(size)]
    large = [(index, size) for size in SIZES for index in {0, size // 3, size - 1}]
    asked = [inclusion(tree, *each) for each in [*small, *large]]

    assert ask(go, inclusions=asked)["Inclusions"] == [True] * len(asked)


def test_consistency_proofs(go: Path, tree: Tree) -> None:
    """Every consistency proof in trees up to 40 leaves, and some in larger ones, is accepted."""
    small = [(old, size) for size in range(1, EXHAUSTIVE + 1) for old in range(1, size + 1)]
    large = [(old, size) for size in SIZES for old in {1, size // 3 + 1, (size + 1) // 2, size}]
    asked = [consistency(tree, *each) for each in [*small, *large]]

    assert ask(go, consistencies=asked)["Consistencies"] == [True] * len(asked)


def test_faulty_proofs(go: Path, tree: Tree) -> None:
    """The verifier does judge: proofs with a hash changed, dropped or added are refused, by both."""
    inclusions = list(chain.from_iterable(faults(inclusion(tree, index, 11)) for index in range(11)))
    consistencies = list(chain.from_iterable(faults(consistency(tree, old, 11)) for old in range(1, 12)))

    answer = ask(go, inclusions=inclusions, consistencies=consistencies)

    assert answer["Inclusions"] == [False] * len(inclusions)
    assert answer["Consistencies"] == [False] * len(consistencies)
    for each in inclusions:
        with pytest.raises(BadProof):
            merkle.check_inclusion(**each)
    for each in consistencies:
        renamed = {"old_size": each["oldSize"], "old_root": each["oldRoot"]}
        with pytest.raises(BadProof):
            merkle.check_consistency(**renamed, size=each["size"], root=each["root"], proof=each["proof"])


@pytest.mark.parametrize("size", SIZES)
def test_tiles(go: Path, tree: Tree, size: int) -> None:
    """From our tiles alone, checked against our root, the other implementation makes the very proofs that we make."""
    indexes = sorted({0, size // 3, size // 2, size - 1})
    olds = sorted({1, size // 3 + 1, size // 2 + 1, size})
    asked = {"size": size, "root": tree.root(size), "tiles": tree.tiles(size), "indexes": indexes, "olds": olds}

    (found,) = ask(go, tiled=[asked])["Tiled"]

    assert found["Fault"] == ""
    assert hashes(found["Leaves"]) == [tree.leaves[index] for index in indexes]
    assert [hashes(each) for each in found["Inclusions"]] == [
        merkle.inclusion_proof(index, size, tree.get) for index in indexes
    ]
    assert [hashes(each) for each in found["Consistencies"]] == [
        merkle.consistency_proof(old, size, tree.get) for old in olds
    ]


def test_faulty_tile(go: Path, tree: Tree) -> None:
    """The verifier does judge: a tile with one bit changed is refused."""
    tiles = tree.tiles(300)
    tiles["tile/0/001.p/44"] = bytes([tiles["tile/0/001.p/44"][0] ^ 1]) + tiles["tile/0/001.p/44"][1:]
    asked = {"size": 300, "root": tree.root(300), "tiles": tiles, "indexes": [299], "olds": []}

    (found,) = ask(go, tiled=[asked])["Tiled"]

    assert "inconsistent" in found["Fault"]


def faults(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a question with each fault in its proof."""
    proof = asked["proof"]
    faulty = [[*proof[:place], OTHER, *proof[place + 1 :]] for place in range(len(proof))]
    faulty += [[*proof[:place], *proof[place + 1 :]] for place in range(len(proof))]
    faulty += [[*proof, OTHER], [OTHER, *proof]]
    return [asked | {"proof": each} for each in faulty]
