"""The policy, which witnesses must have cosigned before a checkpoint counts as witnessed.

Read from a tlog-policy file: logs, witnesses, groups of them (any, all, k of n), one quorum. A name is a member of one
group at most, so groups form trees and each witness counts once. Names are bytes without meaning outside the file.
Spec: docs/spec/log.md; C2SP tlog-policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from lintas.checkpoint import open_checkpoint
from lintas.cosignature import Cosignature, check_cosignatures
from lintas.errors import BadNote, BadPolicy
from lintas.log_keys import LogKeys
from lintas.note import ALGORITHM_COSIGNATURE, ALGORITHM_ED25519, VerifierKey, parse_vkey, split_note

POLICY_BYTES_MAX = 65_536
"""Every name, key and address of the largest policy fits several times."""

NAMES_MAX = 32
"""Logs, witnesses, and groups, each: what the format asks for, and half of the signatures a note may carry."""

NONE = "none"

_OCTETS = re.compile(rb"[\t\n\x20-\x7e\x80-\xff]*")
_SPACE = re.compile(r"[ \t]+")
_COUNT = re.compile(r"[1-9][0-9]?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses or further groups, of which at least `need` must have cosigned."""

    need: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Which logs, which witnesses by name, which groups; `quorum` None asks for no cosignature."""

    logs: tuple[VerifierKey, ...] = ()
    witnesses: Mapping[str, VerifierKey] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    quorum: str | None = None

    def holds(self, cosigned: Collection[VerifierKey]) -> bool:
        """Tell whether cosignatures by these witnesses are enough."""
        return self.quorum is None or self._has(self.quorum, cosigned)

    @property
    def count_min(self) -> int:
        """How many cosignatures are needed at least."""
        return 0 if self.quorum is None else self._least(self.quorum)

    def text(self) -> bytes:
        """Return the policy as a file without comments and addresses; `parse_policy` undoes it."""
        lines = [f"log {key.text()}" for key in self.logs]
        lines += [f"witness {name} {key.text()}" for name, key in self.witnesses.items()]
        lines += [f"group {name} {group.need} {' '.join(group.members)}" for name, group in self.groups.items()]
        lines.append(f"quorum {NONE if self.quorum is None else self.quorum}")
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")

    def _has(self, name: str, cosigned: Collection[VerifierKey]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return self.witnesses[name] in cosigned
        return sum(self._has(member, cosigned) for member in group.members) >= group.need

    def _least(self, name: str) -> int:
        group = self.groups.get(name)
        return 1 if group is None else sum(sorted(map(self._least, group.members))[: group.need])


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a policy says of one checkpoint: who of its witnesses cosigned, and whether that is enough."""

    cosignatures: tuple[Cosignature, ...]
    names: tuple[str, ...]
    of: int
    is_enough: bool


def judge(note: bytes, *, key: VerifierKey | LogKeys, policy: Policy) -> Witnessed:
    """Judge a checkpoint of the pinned log; raise BadNote or BadCheckpoint when a signature in it does not hold."""
    open_checkpoint(note, origin=key.name, key=key)
    found = check_cosignatures(*split_note(note), policy.witnesses.values())
    cosigned = {each.witness for each in found}
    names = tuple(name for name, witness in policy.witnesses.items() if witness in cosigned)
    # Asking for nothing proves nothing: a policy without a quorum makes no checkpoint a witnessed one.
    is_enough = policy.quorum is not None and policy.holds(cosigned)
    return Witnessed(found, names, len(policy.witnesses), is_enough)


def for_log(policy: Policy, *keys: VerifierKey) -> Policy:
    """Hold a policy against the pinned log: it names one of the keys of that log, or none. Raise BadPolicy."""
    if policy.logs and not {*policy.logs}.intersection(keys):
        raise BadPolicy(f"It is for other logs than {keys[0].name}, or for a key that log does not have.")
    return policy


def parse_policy(data: bytes) -> Policy:
    """Read a policy file; raise BadPolicy naming the line at fault."""
    if len(data) > POLICY_BYTES_MAX:
        raise BadPolicy(f"A policy has at most {POLICY_BYTES_MAX} bytes.")
    if not _OCTETS.fullmatch(data):
        raise BadPolicy("A policy has no control characters but tab and line feed.")
    if data and not data.endswith(b"\n"):
        # A file that was cut short could ask for less than it did.
        raise BadPolicy("The last line of a policy ends with a line feed too.")
    reader = _Reader()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = _SPACE.split(line.strip(" \t"))
        if not words[0].startswith("#") and words != [""]:
            try:
                reader.read(words)
            except (ValueError, BadNote) as fault:
                raise BadPolicy(f"Line {number}: {fault}") from fault
    return reader.policy()


class _Reader:
    """What the lines said so far."""

    def __init__(self) -> None:
        self._logs: list[VerifierKey] = []
        self._witnesses: dict[str, VerifierKey] = {}
        self._groups: dict[str, Group] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None

    def read(self, words: list[str]) -> None:
        """Take one line; ValueError or BadNote says what is wrong with it."""
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._log(parse_vkey(vkey, ALGORITHM_ED25519))
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._witness(name, parse_vkey(vkey, ALGORITHM_COSIGNATURE))
            case ["group", name, need, *members]:
                self._group(name, need, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise ValueError("it is neither a log, a witness, a group nor the quorum with what belongs to it.")

    def policy(self) -> Policy:
        """Return what was read, once there is a quorum."""
        if self._quorum is None:
            raise BadPolicy("A policy has a quorum line.")
        quorum = None if self._quorum == NONE else self._quorum
        return Policy(tuple(self._logs), self._witnesses, self._groups, quorum)

    def _log(self, key: VerifierKey) -> None:
        if key.public in {each.public for each in self._logs}:
            raise ValueError("the key of this log stands on an earlier line.")
        self._logs.append(key)
        _bounded(self._logs)

    def _witness(self, name: str, key: VerifierKey) -> None:
        self._check_new(name)
        if key.public in {each.public for each in self._witnesses.values()}:
            raise ValueError("the key of this witness stands on an earlier line.")
        self._witnesses[name] = key
        _bounded(self._witnesses)

    def _group(self, name: str, need: str, members: list[str]) -> None:
        self._check_new(name)
        for member in members:
            if member not in self._witnesses and member not in self._groups:
                raise ValueError(f"{member!r} is on no earlier line.")
            if member in self._members:
                raise ValueError(f"{member!r} is a member already; it counts in one place only.")
            self._members.add(member)
        self._groups[name] = Group(_need(need, len(members)), tuple(members))
        _bounded(self._groups)

    def _set_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise ValueError("there is a quorum already.")
        if name != NONE and name not in self._witnesses and name not in self._groups:
            raise ValueError(f"{name!r} is on no earlier line.")
        self._quorum = name

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self._witnesses or name in self._groups:
            raise ValueError(f"the name {name!r} is taken.")


def _need(text: str, count: int) -> int:
    if not count:
        raise ValueError("a group has members.")
    if text in ("any", "all"):
        return 1 if text == "any" else count
    if not _COUNT.fullmatch(text) or int(text) > count:
        raise ValueError(f"of {count} members, `any`, `all` or a number from 1 to {count} must have cosigned.")
    return int(text)


def _bounded(found: Collection[T]) -> None:
    if len(found) > NAMES_MAX:
        raise ValueError(f"there are more than {NAMES_MAX}.")
