"""One party at one hub: its identity, its memory, the lines it signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lintas import bulletin, note
from lintas.ack import Ack
from lintas.clock import Clock, now_us
from lintas.directory import FRESH_S, SKEW_S, Directory, OpeningRecord
from lintas.draft import Draft
from lintas.errors import BadIdentity, MalformedPayload, NoOpeningKey, SealedToOldKey, Unpinned
from lintas.event import US_PER_S, parse_event
from lintas.handling import resolve
from lintas.header import ACK, BULLETIN, KEY, ORDER, TOKEN
from lintas.jwk import jwk
from lintas.keys import Identity, SigningKey, fresh_content_key
from lintas.line import Line, make_head, parse, sign, sign_under
from lintas.lint import QUOTING, Finding, lint, lint_quoted, refuse
from lintas.log_keys import LogKeys, parse_log_keys
from lintas.opening import OPENING_LIFE_S, OpeningKey
from lintas.replay import Replay
from lintas.sealed import HPKE, check_inside, read_sealed, seal, unseal
from lintas.state import State
from lintas.strict import b64u, canonical, parse_object

TOKEN_LIFE_S = 300
TOKEN_SPARE_S = 60
"""A token is renewed a minute before it ends, so that it outlives the request it is sent with."""

IDLE_S = 300
"""How long a follower without news trusts its last look at the log."""

KEY_LIFE_S = 365 * 86_400


class Session:
    """What every operation of a client shares. Used by one thread at a time."""

    def __init__(
        self, identity: Identity, state: State, clock: Clock = now_us, *, reasons: Mapping[str, str] | None = None
    ) -> None:
        """Pin the hub's name and log key from the identity; raise Unpinned when there is none.

        `reasons` are the members of each token that say why we read (`with_purpose`).
        """
        self.identity = identity
        self.state = state
        self.clock = clock
        self.pinned = _pinned(identity)
        self.crossed: LogKeys | None = None
        self._keys_text: bytes | None = None
        self._keys = LogKeys.of(self.pinned)
        self._replay: Replay | None = None
        self._replayed_to = -1
        self._tokens: dict[str, tuple[str, int]] = {}
        self._reasons: dict[str, Any] = dict(reasons or {})
        self.caught_up_at: int | None = None

    @property
    def party(self) -> str:
        """Whose session this is."""
        return self.identity.party

    @property
    def origin(self) -> str:
        """The pinned origin of the log, which is the name of its keys."""
        return self.pinned.name

    @property
    def log_keys(self) -> LogKeys:
        """The pinned key with those that followed it, as far as the log was replayed.

        While a look at the log crosses to further ones (`crossed`), these too; what they sign is not kept yet.
        """
        if self.crossed is not None:
            return self.crossed
        kept = self.state.get("log_keys")
        if kept is not None and kept != self._keys_text:
            self._keys_text, self._keys = kept, parse_log_keys(kept.decode())
        return self._keys

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
        return found + self._opening_alarms()

    def _opening_alarms(self) -> list[str]:
        now, mine = self.now(), {key.kid for key in self.identity.openings}
        return [
            f"An opening key of {self.party} that this identity did not make: {key.kid} (if yours: lintas keys --ours "
            f"{key.kid})"
            for key in self.directory.openings.get(self.party, ())
            if key.kid not in mine and now < key.not_after
            if self.directory.keys[key.by].has_stood(now) and self.state.get(f"ours:{key.kid}") is None
        ]

    def with_purpose(self, purpose: str, case_ref: str, officer: str | None = None) -> Session:
        """Return this session with a reason to read that goes into each of its tokens; the memory is the same one."""
        reasons = {"purpose": purpose, "case_ref": case_ref} | ({"sub": officer} if officer else {})
        return Session(self.identity, self.state, self.clock, reasons=reasons)

    @property
    def has_purpose(self) -> bool:
        """Tell whether the tokens say why we read."""
        return bool(self._reasons)

    def token(self, scope: str = "read") -> str:
        """Return a token to read, or of another scope; a new one when the last is nearly over."""
        now = self.now()
        scope = "admin" if self.party.startswith("admin/") else scope
        token, exp = self._tokens.get(scope, ("", 0))
        if exp - TOKEN_SPARE_S <= now:
            token = self.sign_line(TOKEN, b"", exp=now + TOKEN_LIFE_S, scope=scope, **self._reasons).raw.decode()
            self._tokens[scope] = (token, now + TOKEN_LIFE_S)
        return token

    def sign_ack(self, ack: Ack) -> Line:
        """Sign an acknowledgement, naming the acting officer if one was given."""
        officer: dict[str, Any] = {"sub": self._reasons["sub"]} if "sub" in self._reasons else {}
        return self.sign_line(ACK, ack.payload(), **officer)

    def sign_line(self, typ: str, payload: bytes, *, key: SigningKey | None = None, **members: Any) -> Line:
        """Sign a line of this type as this party, dated now."""
        return parse(sign(self._header(typ, members), payload, key or self.identity.key), typ)

    def _header(self, typ: str, members: Mapping[str, Any]) -> dict[str, Any]:
        return {"typ": typ, "iss": self.party, "aud": self.identity.hub.name, "iat": self.now(), **members}

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

    def lint(self, draft: Draft) -> tuple[Finding, ...]:
        """Return what the data-protection checks find in a draft, as the hub will."""
        content = bulletin.check(draft.members, kind=draft.kind)
        quoted = {ref.split(":", 1)[1] for ref in draft.refs if ref.split(":", 1)[0] in QUOTING}
        known = {each.tlp for each in self.state.released(quoted).values()}
        return lint(content, topic=draft.topic, tlp=draft.tlp) + lint_quoted(draft.kind, draft.tlp, known)

    def sign_bulletin(self, draft: Draft, *, release_to: Sequence[str]) -> Line:
        """Sign a draft for exactly these recipients; raise DataProtection for what the hub would refuse."""
        refuse(self.lint(draft))
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
        if draft.seal:
            members["enc"] = HPKE
        return self.sign_content(draft.payload(), **members)

    def sign_content(self, content: bytes, **members: Any) -> Line:
        """Sign a bulletin of this content, sealed if its header says so."""
        if "enc" not in members:
            return self.sign_line(BULLETIN, content, **members)
        release_to = members["release_to"]
        check_inside(bulletin.parse(content, kind=members["kind"]), tlp=members["tlp"], release_to=release_to)
        head = make_head(self._header(BULLETIN, members), self.identity.key)
        to = {key.kid: key.public for key in self.opening_keys(release_to)}
        payload = seal(content, head=head, to=to, content_key=fresh_content_key())
        line = parse(sign_under(head, payload, self.identity.key), BULLETIN)
        self.note_sealed(line)
        return line

    def opening_keys(self, release_to: Sequence[str]) -> list[OpeningRecord]:
        """Return the proven opening keys that content for these agencies is sealed to, our own among them.

        Raises NoOpeningKey, also when our own current key is none of this identity's: another would read along.
        """
        found = []
        for agency in (*release_to, self.party):
            record = self.directory.opening_key(agency, self.now())
            if record is None:
                raise NoOpeningKey(f"{agency} has no current opening key.", member="release_to")
            found.append(record)
        if found[-1].kid not in {key.kid for key in self.identity.openings}:
            raise NoOpeningKey(f"The current opening key of {self.party} is none of this identity's.", member="iss")
        return found

    def open_sealed(self, line: Line) -> bytes:
        """Return the content of a sealed bulletin; raise SealedToOldKey or MalformedPayload.

        Only a key that was once ours and is gone makes it the former; a sender that left us out made a bad line.
        """
        sealed = read_sealed(line.payload)
        try:
            return unseal(sealed, head=line.head, keys=self.identity.openings)
        except SealedToOldKey as fault:
            if any(key.kid in sealed.to for key in self.directory.openings.get(self.party, ())):
                raise
            raise MalformedPayload(f"It is not sealed to {self.party}.", member="to") from fault

    def content(self, line: Line) -> bytes:
        """Return the content of one of our own bulletins."""
        return line.payload if line.header.enc is None else self.open_sealed(line)

    def note_sealed(self, line: Line) -> None:
        """Remember until when a bulletin stands that is sealed to a key of ours: the seed is kept as long."""
        for kid in {key.kid for key in self.identity.openings}.intersection(read_sealed(line.payload).to):
            name = f"sealed_until:{kid}"
            self.state.put(name, max(line.header.exp or 0, self.state.get_int(name, 0)))

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

    def is_outdated(self, line: Line) -> bool:
        """Tell by our own directory whether a line is sealed to other keys than the current ones."""
        if line.header.enc is None:
            return False
        current = {key.kid for key in self.opening_keys(line.header.release_to)}
        return current != read_sealed(line.payload).to.keys()

    def sign_again(self, line: Line) -> Line:
        """Sign a bulletin that was never accepted anew with a later date; its content names it (`reissue_of`)."""
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
        if header.enc is not None:
            members["enc"] = header.enc
        content = parse_object(self.content(line), floats=True)
        return self.sign_content(canonical({**content, "reissue_of": line.id}), **members)

    def sign_order(self, act: str, arguments: Mapping[str, Any]) -> Line:
        """Sign an order: an administrator's, or what an agency orders for itself."""
        return self.sign_line(ORDER, canonical({"act": act, **arguments}))

    def countersign(self, first: Line) -> Line:
        """Sign another administrator's order as the second person."""
        return self.sign_line(ORDER, first.raw)

    def sign_rotation(self, new: SigningKey, *, holder: str, overlap_s: int, opening: OpeningKey | None = None) -> Line:
        """Hand over to a new key: its own line, nested in one of the present key. It may tell an opening key."""
        payload = {"act": "rotate", "overlap_s": overlap_s, **self.key_window(new, holder)}
        if opening is not None:
            payload["opening"] = self.opening_window(opening)
        inner = self.sign_line(KEY, canonical(payload), key=new)
        return self.sign_line(KEY, inner.raw)

    def sign_revocation(self, reason: str, since: int) -> Line:
        """End the present key."""
        payload = {"act": "revoke", "kid": self.identity.key.kid, "reason": reason, "since": since}
        return self.sign_line(KEY, canonical(payload))

    def sign_opening(self, opening: OpeningKey) -> Line:
        """Tell an opening key, which others seal to from then on."""
        return self.sign_line(KEY, canonical({"act": "opening", **self.opening_window(opening)}))

    def opening_window(self, opening: OpeningKey) -> dict[str, Any]:
        """Return the members that present an opening key: public part, 90 days from now."""
        return {"public": b64u(opening.public), "not_after": self.now() + OPENING_LIFE_S}

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
