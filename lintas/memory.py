"""The memories of one identity, one for each epoch of the hub's log.

``my-police.state`` is of the first epoch, ``my-police.2.state`` of the second. Which of them acts is what the identity
pins; the others stay, so that receipts of former epochs can be checked for ever.
"""

from __future__ import annotations

from pathlib import Path

from lintas.epoch import check_epochs, split_origin
from lintas.errors import Unpinned
from lintas.feed import TOP
from lintas.header import BULLETIN
from lintas.keys import Identity, load_identity
from lintas.line import parse
from lintas.note import parse_vkey
from lintas.state import REFUSED, REPLACED, SENT, WAITING, State, pinned_in

EVERYWHERE = 2**53
"""As how far the feed was shown: beyond every index, so that only what is unseen is shown."""


def path_of(identity_path: Path, origin: str) -> Path:
    """Return where the memory of the log of this origin stands beside an identity file."""
    _, epoch = split_origin(origin)
    return identity_path.with_suffix(".state" if epoch == 1 else f".{epoch}.state")


def open_state(identity_path: Path, identity: Identity) -> State:
    """Open the memory of the log that an identity pins (``my-police.json`` -> ``my-police.state``)."""
    return State(path_of(identity_path, parse_vkey(identity.hub.log_key).name), log_key=identity.hub.log_key)


def open_memory(
    path: Path, passphrase: bytes, *, hub: str | None = None, origin: str | None = None
) -> tuple[Identity, State]:
    """Open an identity file with the memory beside it; `hub` overrides the address, never the pinned name or key.

    `origin` asks for the memory of that epoch instead of the one pinned now: raises NewEpoch for a later one, Unpinned
    when there is none.
    """
    identity = load_identity(path, passphrase)
    if hub is not None:
        identity = identity.with_url(hub)
    if origin is not None:
        identity = identity.with_log_key(_pinned(path, identity, origin))
    return identity, open_state(path, identity)


def _pinned(path: Path, identity: Identity, origin: str) -> str:
    now = identity.hub.log_key
    pinned = parse_vkey(now).name
    if origin == pinned:
        return now
    check_epochs(origin, pinned)
    there = path_of(path, origin)
    found = pinned_in(there) if split_origin(origin)[0] == identity.hub.name and there.exists() else None
    if found is None or parse_vkey(found).name != origin:
        raise Unpinned(f"This identity has no memory of the log {origin}.")
    return found


def take_over(former: State, new: State) -> None:
    """Take over into the memory of a new epoch what does not hang on the former log; the former is not changed.

    That is the outbox's bulletins, what was seen and verified, how long seeds are needed. What was seen before is not
    shown again when its issuer brings it back.
    """
    with new.transaction():
        for state in (WAITING, SENT, REFUSED, REPLACED):
            for each in former.outgoing(state):
                # An acknowledgement is of a place in the former log: it is made anew when the bulletin is back.
                if parse(each.line).header.typ == BULLETIN:
                    new.add_outgoing(each)
        new.take_over(former, ("ours:", "sealed_until:"))
        new.put(TOP, EVERYWHERE)
