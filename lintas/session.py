"""One party at one hub: its identity, its memory, the lines it signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lintas import note
from lintas.clock import Clock, now_us
from lintas.directory import FRESH_S, SKEW_S, Directory
from lintas.draft import Draft
from lintas.errors import BadIdentity, Unpinned
from lintas.event import US_PER_S, parse_event
from lintas.handling import resolve
from lintas.header import BULLETIN, KEY, ORDER, TOKEN
from lintas.jwk import jwk
from lintas.keys import Identity, SigningKey
from lintas.line import Line, parse, sign
from lintas.replay import Replay
from lintas.state import State
from lintas.strict import canonical

TOKEN_LIFE_S = 300
TOKEN_SPARE_S = 60
"""A token is renewed a minute before it ends, so that it outlives the request it is sent with."""

IDLE_S = 300
"""How long a follower without news trusts its last look at the log."""

KEY_LIFE_S = 365 * 86_400


class Session:
    """What every operation of a client shares. Used by one thread at a time."""

    def __init__(self, identity: Identity, state: State, clock: Clock = now_us) -> None:
        """Pin the hub's name and log key from the identity; raise Unpinned when there is none."""
        self.identity = identity
        self.state = state
        self.clock = clock
        self.log_key = _pinned(identity)
        self._replay: Replay | None = None
        self._replayed_to = -1
        self._token: tuple[str, int] | None = None
        self.caught_up_at: int | None = None

    @property
    def party(self) -> str:
        """Whose session this is."""
        return self.identity.party

    @property
    def origin(self) -> str:
        """The pinned origin of the log, which is the name of its key."""
        return self.log_key.name

    def now(self) -> int:
        """Return the time in Unix seconds."""
        return self.clock() // US_PER_S

    def is_due(self) -> bool:
        """Tell whether the log was last asked so long ago that an idle follower must ask again."""
        return self.caught_up_at is None or self.now() >= self.caught_up_at + IDLE_S

    @property
    def replay(self) -> Replay:
        """The directory's replay so far, rebuilt when the memory holds other events than were replayed last."""
        newest = self.state.newest_control()
        if self._replay is None or self._replayed_to != newest:
            replay = Replay.begin(self.identity.hub.name, {self.party, "*"})
            for row in self.state.control():
                line = None if row.line is None else parse(row.line)
                replay = replay.step(parse_event(row.body), seq=row.seq, line=line)
            self.replay = replay
        assert self._replay is not None
        return self._replay

    @replay.setter
    def replay(self, value: Replay) -> None:
        self._replay, self._replayed_to = value, self.state.newest_control()

    @property
    def directory(self) -> Directory:
        """Partners, keys and communities as proven from the log, with this party's own grants."""
        return self.replay.directory

    def alarms(self) -> list[str]:
        """Return what somebody must look into: keys in our name that we did not make, bulletins we did not send."""
        keys, own = self.directory.keys, {self.identity.key.kid}
        if self.identity.next_key is not None:
            own.add(self.identity.next_key.kid)
        ancestor = keys.get(self.identity.key.kid)
        while ancestor is not None and ancestor.parent is not None:
            own.add(ancestor.parent)
            ancestor = keys.get(ancestor.parent)
        found = [
            f"A key of {self.party} that this identity did not make: {key.kid} (if yours: lintas keys --ours {key.kid})"
            for key in keys.values()
            if key.party == self.party and key.kid not in own and key.state(self.now()) in ("pending", "active")
            if self.state.get(f"ours:{key.kid}") is None
        ]
        strange = self.state.get_int("strange_own", 0)
        if strange:
            found.append(f"{strange} bulletins of {self.party} in the log did not go through this identity's outbox.")
        backdated = self.state.get_int("backdated", 0)
        if backdated:
            found.append(f"{backdated} events are dated before a time at which the log did not have them yet.")
        return found

    def token(self) -> str:
        """Return a read token, a new one when the last is nearly over."""
        now = self.now()
        if self._token is None or self._token[1] - TOKEN_SPARE_S <= now:
            scope = "admin" if self.party.startswith("admin/") else "read"
            line = self.sign_line(TOKEN, b"", exp=now + TOKEN_LIFE_S, scope=scope)
            self._token = (line.raw.decode(), now + TOKEN_LIFE_S)
        return self._token[0]

    def sign_line(self, typ: str, payload: bytes, *, key: SigningKey | None = None, **members: Any) -> Line:
        """Sign a line of this type as this party, dated now."""
        header = {"typ": typ, "iss": self.party, "aud": self.identity.hub.name, "iat": self.now(), **members}
        return parse(sign(header, payload, key or self.identity.key), typ)

    def recipients(self, draft: Draft) -> tuple[str, ...]:
        """Resolve whom a draft goes to: the frozen, sorted list that will be signed."""
        return resolve(
            release_to=draft.release_to,
            exclude=draft.exclude,
            issuer=self.party,
            tlp=draft.tlp,
            communities=self.directory.communities,
            partners=self.directory.partners.keys(),
        )

    def sign_bulletin(self, draft: Draft, *, release_to: Sequence[str]) -> Line:
        """Sign a draft for exactly these recipients."""
        members: dict[str, Any] = {
            "exp": draft.exp(self.now()),
            "kind": draft.kind,
            "topic": draft.topic,
            "tlp": draft.tlp,
            "release_to": list(release_to),
            "urgency": draft.urgency,
        }
        if draft.refs:
            members["refs"] = sorted(draft.refs)
        return self.sign_line(BULLETIN, draft.payload(), **members)

    def enqueue(self, draft: Draft, *, tag: str) -> bool:
        """Sign a draft into the outbox under a tag; False when the tag was used before."""
        if self.state.by_tag(tag) is not None:
            return False
        line = self.sign_bulletin(draft, release_to=self.recipients(draft))
        self.state.enqueue(line.id, line.raw, tag)
        return True

    def is_stale(self, line: Line) -> bool:
        """Tell by our own clock whether a line is too old: a hub's word alone makes nobody sign again and again."""
        return self.now() - line.header.iat > FRESH_S - SKEW_S

    def sign_again(self, line: Line, payload: Mapping[str, Any]) -> Line:
        """Sign a stale bulletin anew with a later date; its payload names the earlier line (`reissue_of`)."""
        header = line.header
        members: dict[str, Any] = {
            "exp": (header.exp or 0) + self.now() - header.iat,
            "kind": header.kind,
            "topic": header.topic,
            "tlp": header.tlp,
            "release_to": list(header.release_to),
            "urgency": header.urgency,
        }
        if header.refs:
            members["refs"] = list(header.refs)
        return self.sign_line(BULLETIN, canonical({**payload, "reissue_of": line.id}), **members)

    def sign_order(self, act: str, arguments: Mapping[str, Any]) -> Line:
        """Sign an administrator's order."""
        return self.sign_line(ORDER, canonical({"act": act, **arguments}))

    def countersign(self, first: Line) -> Line:
        """Sign another administrator's order as the second person."""
        return self.sign_line(ORDER, first.raw)

    def sign_rotation(self, new: SigningKey, *, holder: str, overlap_s: int) -> Line:
        """Hand over to a new key: its own line, nested in one of the present key."""
        payload = {"act": "rotate", "overlap_s": overlap_s, **self.key_window(new, holder)}
        inner = self.sign_line(KEY, canonical(payload), key=new)
        return self.sign_line(KEY, inner.raw)

    def sign_revocation(self, reason: str, since: int) -> Line:
        """End the present key."""
        payload = {"act": "revoke", "kid": self.identity.key.kid, "reason": reason, "since": since}
        return self.sign_line(KEY, canonical(payload))

    def key_window(self, key: SigningKey, holder: str) -> dict[str, Any]:
        """Return the members that present a key: public part, the post that holds it, a year from now."""
        now = self.now()
        return {"jwk": jwk(key.public), "holder": holder, "not_before": now, "not_after": now + KEY_LIFE_S}


def _pinned(identity: Identity) -> note.VerifierKey:
    try:
        key = note.parse_vkey(identity.hub.log_key)
    except Exception as fault:
        raise Unpinned(f"The log key in the identity cannot be read: {fault}") from fault
    if not key.name.startswith(identity.hub.name + "/log/"):
        raise BadIdentity("The pinned log key belongs to another hub than the identity.")
    return key
