"""Tests of the Merkle tree: exhaustive to 64 leaves, sampled beyond, compared with another implementation.

That one has consistency proofs of its own shape; those are compared in test_independent_log.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import merkle
from lintas.errors import BadProof

SMALL = range(65)
LARGE = 2_000
OTHER = sha256(b"other").digest()


def entry(number: int) -> bytes:
    """Return the entry of a leaf."""
    return sha256(number.to_bytes(4, "big")).digest()


def leaf(number: int) -> bytes:
    """Return the hash of a leaf."""
    return merkle.leaf_hash(entry(number))


def grow(size: int) -> tuple[list[merkle.Frontier], list[bytes]]:
    """Append leaves; return the frontier of each size, and the `nodes` of each row as the log keeps them."""
    frontiers, rows = [merkle.Frontier(0, ())], []
    for number in range(size):
        frontier, nodes = frontiers[-1].append(leaf(number))
        frontiers.append(frontier)
        rows.append(nodes)
    return frontiers, rows


FRONTIERS, ROWS = grow(LARGE)
ROOTS = [frontier.root() for frontier in FRONTIERS]


def get(wanted: Sequence[merkle.Address]) -> list[bytes]:
    """Fetch nodes from the rows."""
    places = [merkle.node_address(level, index) for level, index in wanted]
    return [ROWS[seq][offset : offset + merkle.HASH_BYTES] for seq, offset in places]


def counted(calls: list[int]) -> Callable[[Sequence[merkle.Address]], list[bytes]]:
    """Fetch nodes, and note how many each call asked for."""

    def fetch(wanted: Sequence[merkle.Address]) -> list[bytes]:
        calls.append(len(wanted))
        return get(wanted)

    return fetch


def with_fault(proof: list[bytes]) -> list[list[bytes]]:
    """Return the proof with each fault: a hash changed, one less, one more."""
    changed = [[*proof[:place], OTHER, *proof[place + 1 :]] for place in range(len(proof))]
    dropped = [[*proof[:place], *proof[place + 1 :]] for place in range(len(proof))]
    return [*changed, *dropped, [*proof, OTHER], [OTHER, *proof]]


@pytest.fixture(scope="module")
def peer() -> Any:
    """A tree of the same entries in the other implementation."""
    pymerkle = pytest.importorskip("pymerkle", reason="pymerkle, the other implementation, is absent")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for number in range(max(SMALL)):
        tree.append_entry(entry(number))
    return tree


def test_empty_root() -> None:
    """The root of the empty tree is the hash of nothing."""
    assert merkle.Frontier(0, ()).root() == sha256(b"").digest() == merkle.EMPTY_ROOT


def test_prefixes() -> None:
    """Leaves and nodes are hashed under different prefixes, so that neither passes for the other."""
    assert merkle.leaf_hash(b"entry") == sha256(b"\x00entry").digest()
    assert merkle.node_hash(b"left", b"right") == sha256(b"\x01leftright").digest()


def test_root_known_to_all_implementations() -> None:
    """The eight leaves that certificate logs test with have the root they agree on."""
    frontier = merkle.Frontier(0, ())
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"):
        frontier, _ = frontier.append(merkle.leaf_hash(bytes.fromhex(each)))

    assert frontier.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_append_returns_completed_subtrees() -> None:
    """A row holds the leaf and each subtree it completes, level by level."""
    assert ROWS[0] == leaf(0)
    assert ROWS[1] == leaf(1) + merkle.node_hash(leaf(0), leaf(1))
    assert ROWS[2] == leaf(2)
    assert [len(row) // 32 for row in ROWS[:8]] == [1, 2, 1, 3, 1, 2, 1, 4]


def test_rows_hold_two_hashes_on_average() -> None:
    """Storage is twice the leaves: fewer than two hashes a row."""
    assert sum(map(len, ROWS)) < 2 * 32 * LARGE


def test_nodes_are_parents_of_two_nodes() -> None:
    """Every node that `node_address` finds is the hash of the two below it."""
    for level in range(1, 9):
        for index in range(256 >> level):
            left, right, parent = get([(level - 1, 2 * index), (level - 1, 2 * index + 1), (level, index)])

            assert parent == merkle.node_hash(left, right)


@pytest.mark.parametrize("size", [size for size in SMALL if size])
def test_root_as_peer(peer: Any, size: int) -> None:
    """The root of each size is that of the other implementation."""
    assert ROOTS[size] == peer.get_root(size)


@pytest.mark.parametrize("size", SMALL)
def test_inclusion_as_peer(peer: Any, size: int) -> None:
    """Each inclusion proof is that of the other implementation, which counts from one and begins with the leaf."""
    for index in range(size):
        expected = [bytes.fromhex(each) for each in peer.prove_inclusion(index + 1, size).serialize()["path"]]

        assert expected == [leaf(index), *merkle.inclusion_proof(index, size, get)]


@pytest.mark.parametrize("size", [*SMALL, 1_000, LARGE])
def test_frontier_from_rows(size: int) -> None:
    """The nodes of the set bits of a size restore its frontier."""
    nodes = merkle.frontier_nodes(size)

    assert merkle.Frontier(size, tuple(get(nodes))) == FRONTIERS[size]


@pytest.mark.parametrize("size", SMALL)
def test_inclusion(size: int) -> None:
    """Each leaf of each tree is proved."""
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, get)

        merkle.check_inclusion(leaf(index), index, size, proof, ROOTS[size])


@pytest.mark.parametrize("size", range(1, 34))
def test_inclusion_with_fault(size: int) -> None:
    """A proof with any hash changed, dropped or added fails; so do another leaf, index and root."""
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, get)
        arguments = [(leaf(index), index, size, faulty, ROOTS[size]) for faulty in with_fault(proof)]
        arguments += [(leaf(index), other, size, proof, ROOTS[size]) for other in range(size) if other != index]
        arguments += [(OTHER, index, size, proof, ROOTS[size]), (leaf(index), index, size, proof, OTHER)]

        for each in arguments:
            with pytest.raises(BadProof):
                merkle.check_inclusion(*each)


@pytest.mark.parametrize("index", [-1, 1, 2])
def test_inclusion_outside_the_tree(index: int) -> None:
    """An index outside a tree is refused even where the empty proof would lead to its root."""
    with pytest.raises(BadProof, match="no leaf"):
        merkle.check_inclusion(leaf(0), index, 1, [], leaf(0))


def test_inclusion_in_the_empty_tree() -> None:
    """Nothing is in the empty tree."""
    with pytest.raises(BadProof, match="no leaf"):
        merkle.check_inclusion(leaf(0), 0, 0, [], merkle.EMPTY_ROOT)


def test_inclusion_proof_of_a_taller_tree() -> None:
    """A proof with more hashes than the size has levels is refused, whatever root it leads to."""
    with pytest.raises(BadProof, match="too long"):
        merkle.check_inclusion(leaf(0), 0, 1, [OTHER], merkle.node_hash(OTHER, leaf(0)))


def test_inclusion_proof_of_a_lower_tree() -> None:
    """A proof with fewer hashes than the size has levels is refused, whatever root it leads to."""
    with pytest.raises(BadProof, match="too short"):
        merkle.check_inclusion(leaf(0), 0, 2, [], leaf(0))


@pytest.mark.parametrize(("index", "size"), [(-1, 1), (0, 0), (1, 1), (5, 4)])
def test_inclusion_is_not_planned_outside_the_tree(index: int, size: int) -> None:
    """There is no proof for a leaf that is not there."""
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_nodes(index, size)


@pytest.mark.parametrize("size", SMALL)
def test_consistency(size: int) -> None:
    """Each tree is proved to have grown from each smaller one, the empty one and itself included."""
    for old in range(size + 1):
        proof = merkle.consistency_proof(old, size, get)

        merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], proof)


@pytest.mark.parametrize("size", range(1, 34))
def test_consistency_with_fault(size: int) -> None:
    """A proof with any hash changed, dropped or added fails; so do other roots."""
    for old in range(1, size + 1):
        proof = merkle.consistency_proof(old, size, get)
        arguments = [(old, ROOTS[old], size, ROOTS[size], faulty) for faulty in with_fault(proof)]
        arguments += [(old, OTHER, size, ROOTS[size], proof), (old, ROOTS[old], size, OTHER, proof)]

        for each in arguments:
            with pytest.raises(BadProof):
                merkle.check_consistency(*each)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_consistency_with_the_empty_tree(size: int) -> None:
    """From nothing the proof is empty and the old root is the empty one."""
    merkle.check_consistency(0, merkle.EMPTY_ROOT, size, ROOTS[size], [])

    with pytest.raises(BadProof, match="should be empty"):
        merkle.check_consistency(0, merkle.EMPTY_ROOT, size, ROOTS[size], [OTHER])
    with pytest.raises(BadProof, match="old root"):
        merkle.check_consistency(0, OTHER, size, ROOTS[size], [])


def test_consistency_of_empty_trees() -> None:
    """A tree of size zero has no other root than the empty one."""
    with pytest.raises(BadProof, match="empty tree"):
        merkle.check_consistency(0, merkle.EMPTY_ROOT, 0, OTHER, [])


def test_consistency_of_equal_sizes() -> None:
    """Two trees of one size have one root, and no proof."""
    with pytest.raises(BadProof, match="old root"):
        merkle.check_consistency(5, OTHER, 5, ROOTS[5], [])
    with pytest.raises(BadProof, match="should be empty"):
        merkle.check_consistency(5, ROOTS[5], 5, ROOTS[5], [OTHER])


@pytest.mark.parametrize("old", [-1, 6])
def test_consistency_with_a_larger_tree(old: int) -> None:
    """A tree did not grow from a larger one, nor from one of negative size."""
    with pytest.raises(BadProof, match="did not grow"):
        merkle.check_consistency(old, ROOTS[5], 5, ROOTS[5], [])
    with pytest.raises(ValueError, match="did not grow"):
        merkle.consistency_nodes(old, 5)


def test_consistency_proof_of_a_taller_tree() -> None:
    """A proof with more hashes than the size has levels is refused, whatever roots it leads to."""
    proof = [*merkle.consistency_proof(3, 4, get), OTHER]
    old_root, root = merkle.node_hash(OTHER, ROOTS[3]), merkle.node_hash(OTHER, ROOTS[4])

    with pytest.raises(BadProof, match="too long"):
        merkle.check_consistency(3, old_root, 4, root, proof)


@pytest.mark.parametrize("proof", [[], [OTHER]])
def test_consistency_proof_of_a_lower_tree(proof: list[bytes]) -> None:
    """A proof with fewer hashes than the size has levels is refused, whatever roots it leads to."""
    with pytest.raises(BadProof, match="too short"):
        merkle.check_consistency(3, OTHER, 4, OTHER, proof)


@given(data=st.data(), size=st.integers(1, LARGE))
def test_proofs_of_larger_trees(data: st.DataObject, size: int) -> None:
    """Proofs hold beyond the sizes tried one by one."""
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))

    inclusion = merkle.inclusion_proof(index, size, get)
    consistency = merkle.consistency_proof(old, size, get)

    merkle.check_inclusion(leaf(index), index, size, inclusion, ROOTS[size])
    merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], consistency)


@given(data=st.data(), size=st.integers(2, LARGE))
def test_faults_in_larger_trees(data: st.DataObject, size: int) -> None:
    """A changed, dropped or added hash fails beyond the sizes tried one by one."""
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size - 1))
    inclusion = data.draw(st.sampled_from(with_fault(merkle.inclusion_proof(index, size, get))))
    consistency = data.draw(st.sampled_from(with_fault(merkle.consistency_proof(old, size, get))))

    with pytest.raises(BadProof):
        merkle.check_inclusion(leaf(index), index, size, inclusion, ROOTS[size])
    with pytest.raises(BadProof):
        merkle.check_consistency(old, ROOTS[old], size, ROOTS[size], consistency)


@given(data=st.data(), size=st.integers(1, 2**40))
def test_proofs_need_few_nodes(data: st.DataObject, size: int) -> None:
    """A proof needs at most two nodes a level, all in rows of its own tree."""
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))

    for plan in (merkle.inclusion_nodes(index, size), merkle.consistency_nodes(old, size)):
        wanted = [address for part in plan for address in part]

        assert len(wanted) <= 2 * size.bit_length()
        assert all(0 <= merkle.node_address(*address)[0] < size for address in wanted)


def test_proof_fetches_once() -> None:
    """All nodes of a proof are fetched with one call, so that the store needs one statement."""
    calls: list[int] = []

    merkle.inclusion_proof(3, 1_000, counted(calls))
    merkle.consistency_proof(333, 1_000, counted(calls))

    assert len(calls) == 2


def test_empty_proof_fetches_nothing() -> None:
    """The only leaf, the empty old tree and the same tree again need no fetch."""
    calls: list[int] = []

    proofs = [
        merkle.inclusion_proof(0, 1, counted(calls)),
        merkle.consistency_proof(0, 9, counted(calls)),
        merkle.consistency_proof(9, 9, counted(calls)),
    ]

    assert (proofs, calls) == ([[], [], []], [])


def test_tile_nodes() -> None:
    """A tile is 256 neighbours on a level that is a multiple of eight."""
    assert merkle.tile_nodes(0, 2, 3) == [(0, 512), (0, 513), (0, 514)]
    assert merkle.tile_nodes(1, 2, 2) == [(8, 512), (8, 513)]
    assert len(merkle.tile_nodes(0, 0, merkle.TILE_WIDTH)) == 256


def test_full_tile_is_hashed_into_the_tile_above() -> None:
    """The hashes of a full tile, taken as leaves, have the root that stands in the tile one level up."""
    for index in range(LARGE // 256):
        frontier = merkle.Frontier(0, ())
        for each in get(merkle.tile_nodes(0, index, 256)):
            frontier, _ = frontier.append(each)

        assert [frontier.root()] == get(merkle.tile_nodes(1, 0, 7))[index : index + 1]


@pytest.mark.parametrize(
    ("path", "level", "index", "width"),
    [
        ("tile/0/000", 0, 0, 256),
        ("tile/1/999", 1, 999, 256),
        ("tile/0/x001/000", 0, 1_000, 256),
        ("tile/63/x001/x234/067", 63, 1_234_067, 256),
        ("tile/0/x001/234.p/56", 0, 1_234, 56),
        ("tile/2/000.p/1", 2, 0, 1),
        ("tile/2/000.p/255", 2, 0, 255),
        ("tile/entries/x001/234", None, 1_234, 256),
        ("tile/entries/000.p/7", None, 0, 7),
    ],
)
def test_tile_path(path: str, level: int | None, index: int, width: int) -> None:
    """An address is written and read as the specification shows."""
    assert merkle.tile_path(level, index, width) == path
    assert merkle.parse_tile_path(path) == merkle.TilePath(level, index, width)


@given(level=st.none() | st.integers(0, 63), index=st.integers(0, 10**18 - 1), width=st.integers(1, merkle.TILE_WIDTH))
def test_tile_path_round_trip(level: int | None, index: int, width: int) -> None:
    """Every address that is written can be read."""
    path = merkle.tile_path(level, index, width)

    assert merkle.parse_tile_path(path) == merkle.TilePath(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/x000/000",
        "tile/0/001/234",
        "tile/0/x001/x234",
        "tile/0/x001/23",
        "tile/0/x001234",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000\n",
        "tile/0/000.p/1\n",
        "/tile/0/000",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/" + 6 * "x001/" + "000",
        "tile/entries/0/000",
        "tile/0/../000",
    ],
)
def test_malformed_tile_path(path: str) -> None:
    """An address that is not spelt in the one right way is none."""
    assert merkle.parse_tile_path(path) is None


def test_entry_bundle() -> None:
    """An entry follows its length in two bytes, and hashes to its leaf in the tile."""
    bundle = merkle.entry_bundle([entry(0), entry(1)])

    assert bundle == b"\x00\x20" + entry(0) + b"\x00\x20" + entry(1)
    assert [merkle.leaf_hash(each) for each in merkle.parse_entry_bundle(bundle)] == get(merkle.tile_nodes(0, 0, 2))


@given(entries=st.lists(st.binary(max_size=300), max_size=5))
def test_entry_bundle_round_trip(entries: list[bytes]) -> None:
    """A bundle gives back its entries."""
    assert merkle.parse_entry_bundle(merkle.entry_bundle(entries)) == entries


@pytest.mark.parametrize("size", [*range(1, 34), *range(35, 68)])
def test_entry_bundle_cut_short(size: int) -> None:
    """A bundle that ends inside an entry or its length is refused."""
    bundle = merkle.entry_bundle([entry(0), entry(1)])[:size]

    with pytest.raises(BadProof, match="cut short"):
        merkle.parse_entry_bundle(bundle)


def test_entry_too_long_for_a_bundle() -> None:
    """An entry of 65,535 bytes fits a bundle, one more does not."""
    merkle.entry_bundle([bytes(0xFFFF)])

    with pytest.raises(OverflowError):
        merkle.entry_bundle([bytes(0x10000)])
