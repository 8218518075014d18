"""Tests of what a client makes of a feed: a recorded page is verified; each way of tampering with it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lintas import feed, sync
from lintas.directory import SKEW_S, Change, apply
from lintas.errors import Evidence, Unverified, Withheld
from lintas.header import BULLETIN, KEY
from lintas.keys import SigningKey
from lintas.line import Line, parse, sign
from lintas.session import Session
from lintas.state import ControlRow, Released, State
from lintas.strict import b64u

if TYPE_CHECKING:
    from tests.lintas.conftest import Recording

Rows = list[dict[str, Any]]


@pytest.fixture
def session(recording: Recording) -> Session:
    """A session of sg-fiu that knows the recorded log."""
    state = State(":memory:", log_key=recording.identity.hub.log_key)
    session = Session(recording.identity, state, lambda: recording.now_us)
    sync.accept_view(session, sync.read_view(session, recording.events, sync.place(session)), sync.Synced())
    return session


@pytest.fixture
def rows(recording: Recording) -> Rows:
    """The rows of the recorded page."""
    return [json.loads(line) for line in recording.feed.splitlines()]


def read(session: Session, rows: Rows, recording: Recording, **odd: Any) -> feed.FeedPage:
    """Read rows as a page that reaches the present."""
    body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    asked = {"after": -1, "shown": -1, "cursor": recording.cursor, "is_last": True, **odd}
    return feed.read_page(body, **asked)


def verify(session: Session, page: feed.FeedPage) -> list[feed.Received]:
    """Verify a page that needs nothing fetched."""
    return feed.judge_rows(session, feed.verify_rows(session, page))


def verified(session: Session, rows: Rows, recording: Recording) -> list[feed.Received]:
    """Read and verify rows."""
    return verify(session, read(session, rows, recording))


# --- a page as it is ---


def test_page_is_verified(session: Session, rows: Rows, recording: Recording) -> None:
    """Bulletins come out with their content in log order; a recalled one stays in its place with the recall's id."""
    first, second, recall, fourth = recording.published

    found = verified(session, rows, recording)

    assert [first.id, second.id, recall.id, fourth.id] == [each.id for each in found]
    assert ["first", None, "recall", "fourth"] == [each.content and each.content.title for each in found]
    assert ("recalled", recall.id, None) == (found[1].state, found[1].by, found[1].line)
    assert ("my-police", "GREEN") == (found[0].header.iss, found[3].header.tlp)


def test_page_is_confirmed(session: Session, rows: Rows, recording: Recording) -> None:
    """A page taken over moves the cursor; nothing is missing."""
    page = read(session, rows, recording)
    feed.confirm_page(session, page, verify(session, page))

    assert int(recording.cursor) == session.state.get_int("feed_after", -1)
    assert [] == session.state.unseen(10**6)


def test_item_is_confirmed(session: Session, rows: Rows, recording: Recording) -> None:
    """A bulletin taken over moves the cursor past itself."""
    item = verified(session, rows, recording)[0]
    feed.confirm_item(session, item)

    assert item.seq == session.state.get_int("feed_after", -1)
    assert item.id not in [each.id for each in session.state.unseen(10**6)]


def test_marks_are_passed_on(session: Session, rows: Rows, recording: Recording) -> None:
    """What the hub marks is passed on; what is no list of marks is none."""
    rows[0] |= {"marks": ["suspect", "odd"]}
    rows[2] |= {"marks": "suspect", "recalled_by": 7}

    found = verified(session, rows, recording)

    assert [("suspect",), (), ()] == [each.marks for each in (found[0], found[2], found[3])]
    assert () == found[2].recalled_by


def test_own_bulletin_is_verified(session: Session, recording: Recording) -> None:
    """A bulletin of our own is ours to read, though we are not among its recipients."""
    own = session.sign_line(
        BULLETIN,
        recording.published[0].payload,
        **bulletin_members(recording.published[0], release_to=["id-police"]),
    )

    found = feed.verify_line(session, own.raw, seq=10**6)

    assert own.id == found.id


# --- tampering with a page ---


def bulletin_members(line: Line, **odd: Any) -> dict[str, Any]:
    """Return the header members of a bulletin that a signer chooses, some of them other."""
    header = line.header
    members = {
        "exp": header.exp,
        "kind": header.kind,
        "topic": header.topic,
        "tlp": header.tlp,
        "release_to": list(header.release_to),
        "urgency": header.urgency,
    }
    return members | odd


def header_edited(**members: Any) -> Callable[[Line], str]:
    """Edit the header of a line and leave its signature."""

    def edit(line: Line) -> str:
        _, payload, signature = line.raw.decode().split(".")
        odd = json.dumps({**_header(line), **members}, separators=(",", ":")).encode()
        return f"{b64u(odd)}.{payload}.{signature}"

    return edit


def _header(line: Line) -> dict[str, Any]:
    return {
        "alg": line.header.alg,
        "typ": line.header.typ,
        "kid": line.header.kid,
        "iss": line.header.iss,
        "aud": line.header.aud,
        "iat": line.header.iat,
        **bulletin_members(line),
    }


def payload_swapped(line: Line) -> str:
    """Put another payload into a line."""
    head, _, signature = line.raw.decode().split(".")
    return ".".join((head, b64u(b'{"title":"x","summary":"y"}'), signature))


def resigned(line: Line) -> str:
    """Sign the same content with a key that the directory does not have."""
    key = SigningKey.from_seed(bytes(32))
    return sign({**_header(line), "kid": key.kid}, line.payload, key).decode()


LINES: dict[str, Callable[[Line], str]] = {
    "tlp": header_edited(tlp="GREEN"),
    "release_to": header_edited(release_to=["id-police", "sg-fiu"]),
    "topic": header_edited(topic="drugs"),
    "exp": header_edited(exp=4_000_000_000),
    "issuer": header_edited(iss="id-police"),
    "payload": payload_swapped,
    "key": resigned,
    "padding": lambda line: line.raw.decode() + "=",
    "newline": lambda line: line.raw.decode() + "\n",
    "cut": lambda line: line.raw.decode()[:-1],
    "empty": lambda _line: "",
    "surrogate": lambda line: line.raw.decode() + "\ud800",
    "latin": lambda line: line.raw.decode() + "é",
}


@pytest.mark.parametrize("edit", LINES.values(), ids=LINES)
def test_tampered_line(session: Session, rows: Rows, recording: Recording, edit: Callable[[Line], str]) -> None:
    """A line that is not the one signed is not shown."""
    rows[0]["line"] = edit(recording.published[0])

    with pytest.raises(Unverified):
        verified(session, rows, recording)


def foreign_shown(rows: Rows, recording: Recording) -> None:
    """Show a sound bulletin that its signer addressed to others."""
    rows[0]["line"] = recording.foreign.raw.decode()


def recall_of_nobody(rows: Rows, _: Recording) -> None:
    """Withdraw a bulletin by a line that was never released."""
    rows[0] = {"seq": rows[0]["seq"], "id": parse(rows[0]["line"].encode()).id, "state": "recalled", "by": "A" * 43}


def recall_without_line(rows: Rows, _: Recording) -> None:
    """Withdraw a bulletin without saying by which line."""
    rows[0] = {"seq": rows[0]["seq"], "id": parse(rows[0]["line"].encode()).id, "state": "recalled"}


def superseded_without_line(rows: Rows, _: Recording) -> None:
    """Replace a bulletin without saying by which line."""
    rows[0] = {"seq": rows[0]["seq"], "id": parse(rows[0]["line"].encode()).id, "state": "superseded", "by": None}


def withdrawn_row(rows: Rows, recording: Recording, state: str) -> dict[str, Any]:
    """Withdraw the first bulletin by the recall of the second."""
    return {"seq": rows[0]["seq"], "id": recording.published[0].id, "state": state, "by": recording.published[2].id}


def first_part(rows: Rows, recording: Recording) -> None:
    """Mark the first bulletin as recalled in part by the recall of the second."""
    rows[0] |= {"marks": ["recalled-in-part"], "recalled_by": [recording.published[2].id]}


def withdrawn(**odd: Any) -> Callable[[Rows, Recording], None]:
    """Change the row of the withdrawn bulletin."""
    return lambda rows, _: rows[1].update(odd)


def first(**odd: Any) -> Callable[[Rows, Recording], None]:
    """Change the first row."""
    return lambda rows, _: rows[0].update(odd)


ROWS: dict[str, Callable[[Rows, Recording], None]] = {
    "out of order": lambda rows, _: rows.reverse(),
    "twice": lambda rows, _: rows.insert(0, rows[0]),
    "same index": lambda rows, _: rows[1].update(seq=rows[0]["seq"]),
    "index a text": first(seq="1"),
    "index true": first(seq=True),
    "index missing": lambda rows, _: rows[0].pop("seq"),
    "index before the cursor": first(seq=-1),
    "index past the page": lambda rows, _: rows[-1].update(seq=10**9),
    "index before the key": first(seq=0),
    "line missing": lambda rows, _: rows[0].pop("line"),
    "line a number": first(line=7),
    "line null": first(line=None),
    "line for another reader": foreign_shown,
    "unknown state": withdrawn(state="gone"),
    "state a number": withdrawn(state=7),
    "state a list": withdrawn(state=["recalled"]),
    "id missing": lambda rows, _: rows[1].pop("id"),
    "id malformed": withdrawn(id="x"),
    "id never released": withdrawn(id="A" * 43),
    "by malformed": withdrawn(by=7),
    "faked recall": recall_of_nobody,
    "recall of another": lambda rows, recording: rows.__setitem__(0, withdrawn_row(rows, recording, "recalled")),
    "recall as successor": lambda rows, recording: rows.__setitem__(1, rows[1] | {"state": "superseded"}),
    "purged unsaid": lambda rows, _: rows[1].update(state="purged", by=None),
    "part recalled by the recall of another": first_part,
    "part recalled by nobody": first(marks=["recalled-in-part"]),
    "faked recall without line": recall_without_line,
    "faked successor without line": superseded_without_line,
    "expired by a line": withdrawn(state="expired"),
}


@pytest.mark.parametrize("tamper", ROWS.values(), ids=ROWS)
def test_tampered_page(
    session: Session, rows: Rows, recording: Recording, tamper: Callable[[Rows, Recording], None]
) -> None:
    """A page that was tampered with is not shown at all."""
    tamper(rows, recording)

    with pytest.raises(Unverified):
        verified(session, rows, recording)


SHAPELESS = [b"7", b"[]", b'"x"', b"null", b"{}", b"{", b"[" * 100_000, b"\xff", b'{"seq":1,"seq":2}']


@pytest.mark.parametrize("body", SHAPELESS, ids=lambda body: repr(body[:20]))
def test_shapeless_page(body: bytes) -> None:
    """Whatever is no page of rows is refused as evidence, not with a crash."""
    with pytest.raises(Unverified):
        feed.read_page(body, after=-1, shown=-1, cursor="9", is_last=True)


@pytest.mark.parametrize(
    "cursor", [None, "", "x", "1.5", "9" * 5_000, "9" * 16, "-1", "-2", "+99999", " 99999", "99_999", "\u0669" * 5]
)
def test_cursor_is_a_number(session: Session, rows: Rows, recording: Recording, cursor: str | None) -> None:
    """A page says where it ends, and not before its rows."""
    with pytest.raises(Unverified):
        read(session, rows, recording, cursor=cursor)


def test_rows_lie_after_the_cursor(session: Session, rows: Rows, recording: Recording) -> None:
    """A page has nothing that was taken over before; before the first event, the cursor is -1."""
    first = rows[0]["seq"]

    assert 4 == len(read(session, rows, recording, after=first - 1).rows)
    assert -1 == feed.read_page(b"", after=-1, shown=-1, cursor="-1", is_last=True).cursor
    with pytest.raises(Unverified):
        read(session, rows, recording, after=first)


def test_cursor_of_an_empty_page() -> None:
    """A page without rows does not move the cursor back."""
    assert 7 == feed.read_page(b"", after=7, shown=-1, cursor="7", is_last=True).cursor
    with pytest.raises(Unverified):
        feed.read_page(b"", after=7, shown=-1, cursor="6", is_last=True)


def test_feed_does_not_lag_behind_the_log() -> None:
    """A last page reaches at least as far as the log had been shown before: nothing new is not an answer for ever."""
    assert 9 == feed.read_page(b"", after=7, shown=9, cursor="9", is_last=True).cursor
    with pytest.raises(Withheld):
        feed.read_page(b"", after=7, shown=9, cursor="8", is_last=True)


def test_more_is_not_promised_for_ever(session: Session, rows: Rows, recording: Recording) -> None:
    """A page after which more follows has rows; it may end before what the log has shown."""
    assert not read(session, rows, recording, shown=10**9, is_last=False).is_last
    with pytest.raises(Unverified):
        feed.read_page(b"", after=7, shown=-1, cursor="9", is_last=False)


def test_withheld_recall(session: Session, rows: Rows, recording: Recording) -> None:
    """Without the line of a recall its state is not believed."""
    del rows[2]

    with pytest.raises(Unverified, match="does not say that"):
        verified(session, rows, recording)


@pytest.mark.parametrize("dropped", [0, 1, 3])
def test_withheld_bulletin(session: Session, rows: Rows, recording: Recording, dropped: int) -> None:
    """A row left out is noticed when the page is confirmed: the log says that it was released to us."""
    del rows[dropped]
    page = read(session, rows, recording)
    found = verify(session, page)

    with pytest.raises(Withheld, match=recording.published[dropped].id):
        feed.confirm_page(session, page, found)


def test_bulletin_in_the_place_of_another(session: Session, rows: Rows, recording: Recording) -> None:
    """A bulletin shown again in the place of another is refused: the log has it where it was accepted."""
    rows[1] = {"seq": rows[1]["seq"], "line": rows[0]["line"]}
    page = read(session, rows, recording)

    with pytest.raises(Unverified, match=recording.published[0].id):
        verify(session, page)


def test_withheld_is_told_once_the_last_page_is_there(session: Session, rows: Rows, recording: Recording) -> None:
    """Before the last page nothing is missed: it may still come."""
    page = replace(read(session, rows[:1], recording, cursor=str(rows[0]["seq"])), is_last=False)

    feed.confirm_page(session, page, verify(session, page))

    assert rows[0]["seq"] == session.state.get_int("feed_after", -1)


def test_released_after_the_page_is_not_withheld(session: Session, rows: Rows, recording: Recording) -> None:
    """What was released after the page was made is expected on the next one."""
    seq = int(recording.cursor) + 1
    session.state.add_released([Released("B" * 42 + "A", seq, seq - 1, 9, 99, "cyber", "GREEN")])
    session.state.put("events_after", seq)
    page = read(session, rows, recording)

    feed.confirm_page(session, page, verify(session, page))

    assert seq == session.state.unseen(seq)[0].seq


@pytest.mark.parametrize("change", [
    Change("grant.changed", "sg-fiu", {"act": "grant", "agency": "sg-fiu", "publish": [], "read": ["drugs"]}),
    Change("grant.changed", "sg-fiu", {"act": "ceiling", "agency": "sg-fiu", "tlp": "CLEAR"}),
    Change("partner.suspended", "*", {"agency": "sg-fiu"}),
], ids=["grant", "ceiling", "suspension"])  # fmt: skip
def test_what_we_may_no_longer_read_is_not_withheld(session: Session, recording: Recording, change: Change) -> None:
    """What a later order took from us is not missed: the order is in the log too."""
    directory = apply(session.directory, change, seq=10**6, at=0)
    session.replay = replace(session.replay, directory=directory)
    page = read(session, [], recording)

    feed.confirm_page(session, page, [])

    assert int(recording.cursor) == session.state.get_int("feed_after", -1)


def test_what_was_never_for_us_is_judged_once(
    session: Session, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was released to everyone beyond our grants is not judged at each page again, until our grants change."""
    monkeypatch.setattr(feed, "JUDGED_MIN", 2)
    narrow = Change("grant.changed", "sg-fiu", {"act": "grant", "agency": "sg-fiu", "publish": [], "read": ["drugs"]})
    wide, was = session.replay, session.state.newest_control()
    session.replay = replace(wide, directory=apply(wide.directory, narrow, seq=10**6, at=0))
    beyond = [Released(letter * 42 + "A", seq, seq, 9, 99, "cyber", "GREEN") for seq, letter in enumerate("BCD", 1)]
    session.state.add_released(beyond)
    page = read(session, [], recording)
    assert feed.left_out(session, page) is None
    judged = session.state.get_int("feed_judged", -1)

    session.state.add_control(ControlRow(was + 1, b"", None))
    session.replay = wide
    missing = feed.left_out(session, page)

    assert min(page.cursor, session.state.get_int("events_after", -1)) == judged
    assert missing is not None


def test_what_is_left_out_is_missed_again(
    session: Session, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was withheld is missed at each page: it is never noted as not for us."""
    monkeypatch.setattr(feed, "JUDGED_MIN", 1)
    page = read(session, [], recording)

    first, second = feed.left_out(session, page), feed.left_out(session, page)

    assert first is not None
    assert first == second


def test_release_is_what_makes_a_bulletin_ours(session: Session, rows: Rows, recording: Recording) -> None:
    """A sound bulletin addressed to us that the log does not release to us is not shown."""
    session.state._db.execute("DELETE FROM released WHERE id = ?", (recording.published[0].id,))

    with pytest.raises(Unverified, match="does not say"):
        verified(session, rows, recording)


def test_index_is_the_one_of_the_release(session: Session, rows: Rows, recording: Recording) -> None:
    """A bulletin stands where the log says it was accepted: it cannot be dated back behind its key's history."""
    rows[0]["seq"] -= 1

    with pytest.raises(Unverified, match="at index"):
        verified(session, rows, recording)


@pytest.mark.parametrize(("late_s", "is_good"), [(0, True), (-SKEW_S, True), (-SKEW_S - 1, False)])
def test_expiry_is_the_signers(
    session: Session, rows: Rows, recording: Recording, late_s: int, *, is_good: bool
) -> None:
    """A bulletin is believed to have expired when its signed time is over, give or take a clock."""
    rows[0] = {"seq": rows[0]["seq"], "id": recording.published[0].id, "state": "expired"}
    session.clock = lambda: ((recording.published[0].header.exp or 0) + late_s) * 1_000_000

    try:
        found = verified(session, rows, recording)[0].state
    except Unverified:
        found = None

    assert ("expired" if is_good else None) == found


@pytest.mark.parametrize(("shift", "is_good"), [(0, True), (-1, False)])
def test_key_at_the_release(session: Session, rows: Rows, recording: Recording, shift: int, *, is_good: bool) -> None:
    """A bulletin whose key was revoked between its acceptance and its release is not shown."""
    line = recording.published[0]
    released = session.state.released([line.id])[line.id]
    revise(session, line, revoked_seq=released.seq + shift)

    try:
        found = verified(session, rows[:1], recording)[0].id
    except Unverified:
        found = ""

    assert (line.id if is_good else "") == found


def test_suspect_is_told_though_the_hub_does_not(session: Session, rows: Rows, recording: Recording) -> None:
    """A bulletin released after its key was compromised is marked, by whomever, once."""
    line = recording.published[0]
    released = session.state.released([line.id])[line.id]
    revise(session, line, revoked_seq=10**6, revoked_since=released.at)
    rows[2]["marks"] = ["suspect"]

    found = verified(session, rows, recording)

    assert [("suspect",), ("suspect",), ()] == [found[at].marks for at in (0, 2, 3)]


# --- one line ---


def signed(recording: Recording, key: SigningKey, **odd: Any) -> Line:
    """Sign a bulletin of my-police, or of whom `odd` says, with this key."""
    members = {**_header(recording.published[0]), "kid": key.kid, **odd}
    return parse(sign(members, recording.published[0].payload, key))


def with_key(session: Session, **record: Any) -> SigningKey:
    """Give my-police a second key with this history."""
    key = SigningKey.from_seed(b"k" * 32)
    old = next(each for each in session.directory.keys.values() if each.party == "my-police")
    keys = {**session.directory.keys, key.kid: replace(old, kid=key.kid, public=key.public, **record)}
    session.replay = replace(session.replay, directory=replace(session.directory, keys=keys))
    return key


def revise(session: Session, line: Line, **record: Any) -> None:
    """Give the key of a line another history."""
    keys = session.directory.keys
    revised = {**keys, line.header.kid: replace(keys[line.header.kid], **record)}
    session.replay = replace(session.replay, directory=replace(session.directory, keys=revised))


def test_bulletin_that_was_asked_for(session: Session, recording: Recording) -> None:
    """One bulletin is verified as on a page, and is the one asked for."""
    line = recording.published[0]

    assert line.id == feed.verify_line(session, line.raw, seq=10**6, wanted=line.id).id
    with pytest.raises(Unverified, match="another bulletin"):
        feed.verify_line(session, line.raw, seq=10**6, wanted=recording.published[1].id)


@pytest.mark.parametrize(
    ("history", "is_shown"),
    [
        ({}, True),
        ({"revoked_seq": 5_001}, True),
        ({"revoked_seq": 4_999}, False),
        ({"enrolled_seq": 5_000}, False),
        ({"superseded_at": 0}, False),
        ({"active_from": None}, False),
    ],
)  # fmt: skip
def test_key_history_is_minded(
    session: Session, recording: Recording, history: dict[str, Any], *, is_shown: bool
) -> None:
    """A bulletin is shown when its key was active at that place of the log, not when it is active now."""
    line = signed(recording, with_key(session, **history))

    try:
        found = feed.verify_line(session, line.raw, seq=5_000).id
    except Unverified:
        found = ""

    assert (line.id if is_shown else "") == found


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"aud": "exercise.lintas.example-aaaaaaaa"}, "another hub"),
        ({"release_to": ["id-police"]}, "address"),
        ({"iss": "id-police"}, "knows no such key"),
    ],
)  # fmt: skip
def test_line_is_for_us(session: Session, recording: Recording, odd: dict[str, Any], reason: str) -> None:
    """A well signed bulletin for another hub, for others, or by another agency's key is not shown."""
    line = signed(recording, with_key(session), **odd)

    with pytest.raises(Unverified, match=reason):
        feed.verify_line(session, line.raw, seq=5_000)


def test_line_for_everyone_is_for_us(session: Session, recording: Recording) -> None:
    """A bulletin for every partner is for us too."""
    line = signed(recording, with_key(session), tlp="GREEN", release_to=["*"])

    assert line.id == feed.verify_line(session, line.raw, seq=5_000).id


def test_payload_is_read_strictly(session: Session, recording: Recording) -> None:
    """A well signed bulletin whose payload is none is not shown."""
    key = with_key(session)
    line = sign({**_header(recording.published[0]), "kid": key.kid}, b'{"title":1}', key)

    with pytest.raises(Unverified):
        feed.verify_line(session, line, seq=5_000)


def test_sealed_payload_without_its_shape(session: Session, recording: Recording) -> None:
    """The hub refuses a sealed payload of another shape, so one that arrives is evidence."""
    line = signed(recording, with_key(session), enc="hpke")

    with pytest.raises(Unverified):
        feed.verify_line(session, line.raw, seq=5_000)


def test_line_of_another_kind(session: Session) -> None:
    """A sound line that is no bulletin is not shown as one."""
    line = session.sign_line(KEY, b"{}")

    with pytest.raises(Evidence):
        feed.verify_line(session, line.raw, seq=5_000)
