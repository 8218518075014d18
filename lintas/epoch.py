"""The epoch of a log, begun anew once its key or its rows are lost.

The first event of a later epoch quotes the checkpoint at which the former one ends; what came after it is void. The
directory goes on: the events that follow repeat those that shaped it, each with the index and the second it had, and
are replayed like any other. Who holds a memory of the former epoch checks that nothing of its own part was left out.
Nothing here makes anybody believe a new epoch: that is a person's word, for whoever has the former key can make one.
Spec: docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lintas.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from lintas.decide import AGENCY_ACTS
from lintas.errors import BadCheckpoint, BadNote, BadProof, InconsistentLog, NewEpoch
from lintas.event import US_PER_S, Event
from lintas.log_keys import LogKeys
from lintas.note import VerifierKey, parse_vkey, split_note

CARRIED = "carried"
"""The member by which an event says which event of the former epoch it repeats."""

_OWN_KINDS = frozenset(kind for kind, _ in AGENCY_ACTS.values())

DIGITS_MAX = 6
"""More epochs than a log can have in centuries."""


@dataclass(frozen=True, slots=True)
class Former:
    """Where the epoch before ends: its last checkpoint, the key of its log that signed it; how many events go on.

    `lines` is the digest of what the former epochs accepted, in hexadecimal: the hub keeps the list.
    """

    checkpoint: bytes
    log_key: VerifierKey
    carried: int
    lines: str

    def detail(self) -> dict[str, Any]:
        """Return the member `former` of a ``log.opened`` event; `read_former` undoes it."""
        return {
            "checkpoint": self.checkpoint.decode(),
            "log_key": self.log_key.text(),
            "carried": self.carried,
            "lines": self.lines,
        }

    def tree(self) -> Checkpoint:
        """Open the quoted checkpoint by the key that is named with it; raise BadNote or BadCheckpoint."""
        return open_checkpoint(self.checkpoint, origin=self.log_key.name, key=self.log_key)


@dataclass(frozen=True, slots=True)
class Carried:
    """An event of a former epoch that goes on: its index there, the second it was decided at, what it says."""

    seq: int
    at: int
    kind: str
    party: str
    object: str | None
    detail: Mapping[str, Any]

    def detail_now(self) -> dict[str, Any]:
        """Return what the event that repeats it says; `read_carried` undoes it."""
        return {**self.detail, CARRIED: {"seq": self.seq, "at": self.at}}


@dataclass(frozen=True, slots=True)
class Standing:
    """How the checkpoint that a new epoch quotes stands to the newest one of a memory, None where that has none.

    `is_known`: the quote is of the epoch of this memory, signed with a key that the memory knows.
    """

    former: Former
    quoted: Checkpoint
    known: Checkpoint | None
    is_known: bool

    @property
    def lost(self) -> int:
        """How many entries that were seen are void now."""
        return max(0, self.known.size - self.quoted.size) if self.is_known and self.known is not None else 0


def origin_of(hub: str, epoch: int) -> str:
    """Return the origin of an epoch of a hub's log; `split_origin` undoes it."""
    return f"{hub}/log/{epoch}"


def split_origin(origin: str) -> tuple[str, int]:
    """Return the hub's name with the number of the epoch; raise BadCheckpoint when it is no origin of ours."""
    hub, _, number = origin.rpartition("/log/")
    is_number = number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX
    if not hub or not is_number or str(int(number)) != number:
        raise BadCheckpoint(f"{origin} does not name an epoch of a hub's log.")
    return hub, int(number)


def check_epoch(note: bytes, origin: str) -> None:
    """Raise NewEpoch when a note, by its own unproven word, is a checkpoint of a later epoch of this log."""
    try:
        check_epochs(split_note(note)[0].decode().partition("\n")[0], origin)
    except (BadNote, BadCheckpoint):
        return


def check_epochs(shown: str, pinned: str) -> None:
    """Raise NewEpoch when the origin that is shown is of a later epoch than the one that is pinned.

    Raise BadCheckpoint when one of them is no origin.
    """
    (hub, epoch), (mine, known) = split_origin(shown), split_origin(pinned)
    if hub == mine and epoch > known:
        raise NewEpoch(f"The hub shows the log {shown}, pinned is {pinned}.")


def read_former(detail: Mapping[str, Any]) -> Former | None:
    """Return what a ``log.opened`` event says of the former epoch, None for the first; raise BadProof."""
    if "former" not in detail:
        return None
    try:
        members = detail["former"]
        checkpoint, log_key, carried, lines = (members[name] for name in ("checkpoint", "log_key", "carried", "lines"))
        found = Former(checkpoint.encode(), parse_vkey(log_key), carried, lines)
        (hub, epoch), ours = split_origin(found.log_key.name), split_origin(parse_vkey(detail["log_key"]).name)
    except (KeyError, TypeError, AttributeError, BadNote, BadCheckpoint) as fault:
        raise BadProof("The log does not say rightly where its former epoch ends.") from fault
    is_count = type(carried) is int and carried >= 0 and isinstance(lines, str)
    if not is_count or len(members) != len(found.detail()) or hub != ours[0] or epoch >= ours[1]:
        raise BadProof("The log does not say rightly where its former epoch ends.")
    return found


def goes_on(event: Event) -> bool:
    """Tell whether a control event is carried over: not what tells of the log's keys, nor what agencies order."""
    if event.kind in ("log.opened", "log.key") or event.detail.get("act") == "log-key":
        return False
    # What an agency ordered for itself it orders anew: most of it shapes no directory, and a read token is a secret
    # that the former hub was shown with every read.
    if event.kind == "order.accepted":
        return event.party.startswith("admin/")
    return event.kind not in _OWN_KINDS


def read_carried(event: Event, seq: int, carried: int) -> Carried:
    """Return a control event as one of its first epoch: its own index and second, unless it repeats a former one.

    `carried` is how many events of this epoch do. Raise BadProof when it does not say which.
    """
    at, detail = event.time // US_PER_S, dict(event.detail)
    if seq <= carried:
        try:
            members = detail.pop(CARRIED)
            then, former = members["at"], members["seq"]
        except (KeyError, TypeError) as fault:
            raise BadProof(f"Event {seq} does not say which event of the former epoch it repeats.") from fault
        if type(then) is not int or type(former) is not int or then > at:
            raise BadProof(f"Event {seq} does not say which event of the former epoch it repeats.")
        return Carried(former, then, event.kind, event.party, event.object, detail)
    return Carried(seq, at, event.kind, event.party, event.object, detail)


def stand(former: Former, *, known: Checkpoint | None, keys: LogKeys) -> Standing:
    """Hold a quoted checkpoint against the newest one that a memory holds, whose log has these keys.

    Raise BadNote or BadCheckpoint when a signature in it is false, InconsistentLog when it is another tree of one size.
    """
    text, signatures = split_note(former.checkpoint)
    quoted = parse_checkpoint(text.decode())
    if quoted.origin != keys.name or not keys.knows(signatures):
        former.tree()
        return Standing(former, quoted, known, is_known=False)
    quoted = open_checkpoint(former.checkpoint, origin=keys.name, key=keys)
    if known is not None and known.size == quoted.size and known.root != quoted.root:
        raise InconsistentLog(f"The new epoch quotes another tree of size {known.size} than was seen: it is a fork.")
    return Standing(former, quoted, known, is_known=True)


def check_carried(mine: Iterable[Carried], theirs: Sequence[Carried], *, until: int) -> None:
    """Demand that a new epoch carries over exactly those events that a memory knows, up to this former index.

    Raise InconsistentLog: a revocation that was left out would bring a key back.
    """
    expected, found = ([each for each in part if each.seq <= until] for part in (mine, theirs))
    for want, got in zip(expected, found, strict=False):
        if want != got:
            raise InconsistentLog(f"The new epoch changes or leaves out event {want.seq} ({want.kind}) of the former.")
    if len(expected) > len(found):
        left_out = expected[len(found)]
        raise InconsistentLog(f"The new epoch leaves out event {left_out.seq} ({left_out.kind}) of the former.")
    if len(found) > len(expected):
        added = found[len(expected)]
        raise InconsistentLog(f"The new epoch adds an event {added.seq} ({added.kind}) that the former did not have.")
