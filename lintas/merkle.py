"""The Merkle tree of the log.

Hashes, the frontier that appends to a tree, proofs that an entry is in it or that it grew from a smaller one, the
checks of both, tiles. Nothing here stores a node: `node_address` says in which row of the log one lies, and a proof
asks for all its nodes with one call of `get`.
Spec: docs/spec/log.md; RFC 9162 section 2.1; C2SP tlog-tiles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from lintas.errors import BadProof

HASH_BYTES = 32

EMPTY_ROOT = sha256(b"").digest()

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

Address = tuple[int, int]
"""A perfect subtree: (level, index) spans the leaves index * 2^level up to (index + 1) * 2^level."""

Plan = list[list[Address]]
"""The perfect subtrees, left to right, that make up each hash of a proof."""

Get = Callable[[Sequence[Address]], Sequence[bytes]]
"""Fetches the hashes of these subtrees, in this order."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry into a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours into their parent."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that appending needs: the number of leaves, and the roots of the perfect subtrees from left to right."""

    size: int
    roots: tuple[bytes, ...]

    def append(self, leaf: bytes) -> tuple[Frontier, bytes]:
        """Return the next frontier and the roots of the subtrees this leaf hash completes, level 0 first, joined."""
        roots = list(self.roots)
        root = nodes = leaf
        odd = self.size
        while odd & 1:
            root = node_hash(roots.pop(), root)
            nodes += root
            odd >>= 1
        return Frontier(self.size + 1, (*roots, root)), nodes

    def root(self) -> bytes:
        """Return the root of the tree."""
        return _join(self.roots) if self.roots else EMPTY_ROOT


def node_address(level: int, index: int) -> tuple[int, int]:
    """Return the row that holds this subtree's root, and the offset in its `nodes`: the row of its last leaf."""
    return ((index + 1) << level) - 1, HASH_BYTES * level


def frontier_nodes(size: int) -> list[Address]:
    """Return the subtrees whose roots are the frontier of this size, left to right."""
    return _cover(0, size)


def inclusion_nodes(index: int, size: int) -> Plan:
    """Plan the proof that leaf `index` is in the tree of `size`; ValueError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    plan: Plan = []
    low, high = 0, size
    while high - low > 1:
        middle = _middle(low, high)
        if index < middle:
            plan.append(_cover(middle, high))
            high = middle
        else:
            plan.append(_cover(low, middle))
            low = middle
    return plan[::-1]


def consistency_nodes(old: int, size: int) -> Plan:
    """Plan the proof that the tree of `size` grew from that of `old`; ValueError unless 0 <= old <= size."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} did not grow from one of {old}")
    if old == 0:
        return []
    plan: Plan = []
    low, high = 0, size
    while high != old:
        sibling, (low, high) = _descend(low, high, old - 1)
        plan.append(_cover(*sibling))
    if low:
        # The old tree is not itself a subtree of the new one, so its last part must be told too.
        plan.append(_cover(low, high))
    return plan[::-1]


def inclusion_proof(index: int, size: int, get: Get) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size`; `get` is called once, not at all for an empty proof."""
    return _carry_out(inclusion_nodes(index, size), get)


def consistency_proof(old: int, size: int, get: Get) -> list[bytes]:
    """Prove that the tree of `size` grew from that of `old`; `get` is called once, not at all for an empty proof."""
    return _carry_out(consistency_nodes(old, size), get)


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise BadProof unless this leaf hash is leaf `index` of the tree of `size` with this root (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size:
        raise BadProof(f"There is no leaf {index} in a tree of {size}.")
    node, last = index, size - 1
    found = leaf
    for sibling in proof:
        if last == 0:
            raise BadProof("The inclusion proof is too long.")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _above_right_edge(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise BadProof("The inclusion proof is too short.")
    if found != root:
        raise BadProof("The inclusion proof leads to another root.")


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise BadProof unless the tree of `size` with this root grew from the old one (RFC 9162 2.1.4.2)."""
    if not 0 <= old_size <= size:
        raise BadProof(f"A tree of {size} did not grow from one of {old_size}.")
    if old_size in (0, size):
        if proof:
            raise BadProof("The consistency proof should be empty.")
        if old_root != (EMPTY_ROOT if old_size == 0 else root):
            raise BadProof("The old root is not that of a tree of its size.")
        if size == 0 and root != EMPTY_ROOT:
            raise BadProof("The root is not that of an empty tree.")
        return
    if _consistent_roots(old_size, old_root, size, proof) != (old_root, root):
        raise BadProof("The consistency proof leads to other roots.")


def proven_roots(old_size: int, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots, old and new, that a consistency proof leads to, whatever anybody says they are.

    Raise BadProof when it leads nowhere, or does not tell the old root: one of 2^n leaves is left out of its proofs.
    """
    if not 0 < old_size < size or old_size & (old_size - 1) == 0:
        raise BadProof(f"A proof from {old_size} to {size} does not tell the old root.")
    return _consistent_roots(old_size, b"", size, proof)


def _consistent_roots(old_size: int, old_root: bytes, size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    # A perfect old tree is a subtree of the new one: its root is where the way up begins, and the proof leaves it out.
    steps = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not steps:
        raise BadProof("The consistency proof is too short.")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    older = newer = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise BadProof("The consistency proof is too long.")
        if node & 1 or node == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            node, last = _above_right_edge(node, last)
        else:
            newer = node_hash(newer, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise BadProof("The consistency proof is too short.")
    return older, newer


def _above_right_edge(node: int, last: int) -> Address:
    """Skip the levels where a node at the right edge has no sibling; `node` is then odd, or 0 at the very top."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _descend(low: int, high: int, leaf: int) -> tuple[Address, Address]:
    """Split a tree of leaves low..high; return the half without this leaf, then the one with it."""
    middle = _middle(low, high)
    if leaf < middle:
        return (middle, high), (low, middle)
    return (low, middle), (middle, high)


def _middle(low: int, high: int) -> int:
    """Return where RFC 9162 splits a tree of leaves low..high."""
    return low + (1 << (high - low - 1).bit_length() - 1)


def _cover(low: int, high: int) -> list[Address]:
    """Return the perfect subtrees over leaves low..high, left to right; `low` is where a subtree this wide begins."""
    width = high - low
    if width & (width - 1) == 0:
        # Nearly every part of a proof is one subtree.
        level = width.bit_length() - 1
        return [(level, (high >> level) - 1)] if width else []
    return [(level, (high >> level) - 1) for level in reversed(range(width.bit_length())) if width >> level & 1]


def _carry_out(plan: Plan, get: Get) -> list[bytes]:
    if not plan:
        return []
    found = iter(get([address for part in plan for address in part]))
    return [next(found) if len(part) == 1 else _join([next(found) for _ in part]) for part in plan]


def _join(roots: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees given left to right."""
    root = roots[-1]
    for left in reversed(roots[:-1]):
        root = node_hash(left, root)
    return root


@dataclass(frozen=True, slots=True)
class TilePath:
    """What the address of a tile names. `level` None is an entry bundle; `width` is 256 for a full tile."""

    level: int | None
    index: int
    width: int


_TILE_PATH = re.compile(r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([0-9]{1,3}))?")
"""Levels up to 63; at most 18 digits of index, far more than any tree has."""


def tile_nodes(level: int, index: int, width: int) -> list[Address]:
    """Return the subtrees whose roots make up a tile: 256 neighbours on every eighth level, fewer in a partial tile."""
    first = index * TILE_WIDTH
    return [(level * TILE_HEIGHT, number) for number in range(first, first + width)]


def tile_path(level: int | None, index: int, width: int = TILE_WIDTH) -> str:
    """Return the address of a tile, such as ``tile/0/x001/234.p/56``; level None is an entry bundle."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{'/'.join(reversed(groups))}{suffix}"


def parse_tile_path(path: str) -> TilePath | None:
    """Read the address of a tile; None when it is not one, or not spelt in the one right way."""
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        return None
    level, groups, partial = match.groups()
    found = TilePath(
        level=None if level == "entries" else int(level),
        index=int(groups.replace("/", "").replace("x", "")),
        width=TILE_WIDTH if partial is None else int(partial),
    )
    is_sound = 0 < found.width <= TILE_WIDTH and tile_path(found.level, found.index, found.width) == path
    return found if is_sound else None


def entry_bundle(entries: Iterable[bytes]) -> bytes:
    """Join entries, each after its length as a big-endian uint16; ours are 32 bytes, OverflowError above 65,535."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entry_bundle(data: bytes) -> list[bytes]:
    """Undo `entry_bundle`; raise BadProof when the bytes end inside an entry."""
    entries: list[bytes] = []
    start = 0
    while start < len(data):
        stop = start + 2 + int.from_bytes(data[start : start + 2], "big")
        if stop > len(data):
            raise BadProof("The entry bundle is cut short.")
        entries.append(data[start + 2 : stop])
        start = stop
    return entries
