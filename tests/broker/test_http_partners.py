"""Keys and orders over HTTP: invite, enrol, approve, rotate, revoke, suspend, and who may do it with whom."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from broker.partners import TRIES_MAX
from lintas import vocabulary
from lintas.decide import INVITE_S, KEY_LIFE_S_MAX
from lintas.header import KEY, ORDER, TOKEN
from lintas.keys import Identity, SigningKey
from lintas.line import Line
from lintas.session import Session
from lintas.state import State
from lintas.strict import b64u, canonical
from tests.broker.conftest import AUDITOR, REGISTRAR, UNKNOWN_ID, Desks, problem_of, sign_bulletin
from tests.conftest import DOZEN

ISSUER, READER, NEWCOMER = "my-police", "sg-fiu", "th-police"


@dataclass
class Joining:
    """Someone with an invitation and a new key."""

    session: Session
    invite: str
    code: str

    @property
    def kid(self) -> str:
        """The fingerprint of the new key."""
        return self.session.identity.key.kid

    def enrolment(self, **changes: Any) -> Line:
        """Sign the request for admission; `changes` replace members of its payload."""
        code = changes.pop("code", self.code)
        secret = hashlib.sha256(code.encode()).digest()
        members = {
            "act": "enrol",
            **self.session.key_window(self.session.identity.key, "desk"),
            "invite": self.invite,
            "code_hmac": b64u(hmac.digest(secret, self.kid.encode(), "sha256")),
        }
        return self.session.sign_line(KEY, canonical(members | changes))


def join(desks: Desks, party: str, invited_as: str | None = None) -> Joining:
    """Invite a party and make it a new key."""
    # Two orders of one second that say the same are the same line.
    desks.clock.advance(1)
    first = desks.session(REGISTRAR).sign_order("invite", {"agency": invited_as or party})
    answer = desks.post(first, ORDER)
    if answer.json().get("needs_second"):
        answer = desks.post(desks.session(AUDITOR).countersign(first), ORDER)
    members = answer.json()
    hub = desks.session(REGISTRAR).identity.hub
    identity = Identity(party=party, key=SigningKey.generate(), hub=hub)
    session = Session(identity, State(":memory:", log_key=hub.log_key), desks.clock)
    return Joining(session, members["invite"], members["code"])


def state_of(desks: Desks, kid: str) -> str:
    """Return the state of a key as the hub has it."""
    return desks.hub.directory.keys[kid].state(desks.hub.now())


def token_works(desks: Desks, session: Session) -> bool:
    """Tell whether this session's key opens anything."""
    token = session.sign_line(TOKEN, b"", exp=session.now() + 300, scope="read").raw.decode()
    return desks.get("/v1/partners", Authorization=f"Bearer {token}").status_code == 200


def test_enrolment(desks: Desks) -> None:
    """A key enrolled by invitation waits for approval, and acts from then on."""
    joining = join(desks, NEWCOMER)

    answer = desks.post(joining.enrolment(), KEY)

    assert (201, ["key.enrolled"]) == (answer.status_code, answer.json()["events"])
    assert "pending" == state_of(desks, joining.kid)
    assert not token_works(desks, joining.session)
    assert 201 == desks.order("approve", agency=NEWCOMER, kid=joining.kid).status_code
    assert "active" == state_of(desks, joining.kid)
    assert token_works(desks, joining.session)


def test_enrolment_again(desks: Desks) -> None:
    """The same enrolment again answers 200 with the same receipt, though the invitation is used."""
    line = join(desks, NEWCOMER).enrolment()
    first = desks.post(line, KEY)

    again = desks.post(line, KEY)

    assert (200, first.json()["receipt"]) == (again.status_code, again.json()["receipt"])


def test_pending_key_publishes_nothing(desks: Desks) -> None:
    """A key that waits for approval signs nothing."""
    joining = join(desks, NEWCOMER)
    desks.post(joining.enrolment(), KEY)
    line = sign_bulletin(joining.session, [READER])

    assert (403, "key-not-active", "kid") == problem_of(desks.post(line))


def test_wrong_code(desks: Desks) -> None:
    """Five wrong codes are refused, and then the right one too."""
    joining = join(desks, NEWCOMER)

    wrong = [desks.post(joining.enrolment(code=f"guess-{number}"), KEY) for number in range(TRIES_MAX)]
    right = desks.post(joining.enrolment(), KEY)

    assert [(403, "bad-invite", "code_hmac")] * TRIES_MAX == [problem_of(answer) for answer in wrong]
    assert (403, "bad-invite", "invite") == problem_of(right)
    assert joining.kid not in desks.hub.directory.keys


def test_code_after_four_tries(desks: Desks) -> None:
    """The fifth try may be right."""
    joining = join(desks, NEWCOMER)
    for number in range(TRIES_MAX - 1):
        desks.post(joining.enrolment(code=f"guess-{number}"), KEY)

    assert 201 == desks.post(joining.enrolment(), KEY).status_code


def test_wrong_codes_are_counted_as_strangers(desks: Desks) -> None:
    """Guesses are logged by address and minute, not one by one."""
    joining = join(desks, NEWCOMER)
    for number in range(3):
        desks.post(joining.enrolment(code=f"guess-{number}"), KEY)
    desks.get("/v1/admin/stats", AUDITOR)

    assert [] == desks.events(kind="key.refused")
    assert 3 == sum(detail["codes"].get("bad-invite", 0) for detail in desks.details(kind="auth.refused"))


@pytest.mark.parametrize("fault", ["used", "unknown", "other-agency", "late"])
def test_unfit_invitation(desks: Desks, fault: str) -> None:
    """An invitation that is used, unknown, another's or three days old admits nobody."""
    joining = join(desks, NEWCOMER, "vn-police" if fault == "other-agency" else None)
    line = joining.enrolment(**({"invite": UNKNOWN_ID} if fault == "unknown" else {}))
    if fault == "used":
        desks.post(joining.enrolment(holder="first"), KEY)
        other = SigningKey.generate()
        joining.session.identity = Identity(NEWCOMER, other, joining.session.identity.hub)
        line = joining.enrolment()
    if fault == "late":
        desks.clock.advance(INVITE_S)
        line = joining.enrolment()

    assert (403, "bad-invite", "invite") == problem_of(desks.post(line, KEY))


def test_enrolment_without_invitation(desks: Desks) -> None:
    """Once a hub has a key, an administrator too enrols only by invitation."""
    joining = join(desks, "admin/third")
    members = {"act": "enrol", **joining.session.key_window(joining.session.identity.key, "desk")}

    answer = desks.post(joining.session.sign_line(KEY, canonical(members)), KEY)

    assert (403, "bad-invite", "invite") == problem_of(answer)


def test_enrolled_twice(desks: Desks) -> None:
    """A key is enrolled once."""
    joining = join(desks, NEWCOMER)
    desks.post(joining.enrolment(), KEY)
    again = join(desks, NEWCOMER)
    again.session.identity = joining.session.identity

    assert (409, "order-conflict", "kid") == problem_of(desks.post(again.enrolment(), KEY))


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"not_after": KEY_LIFE_S_MAX + 1}, "not_after"),
        ({"not_after": 0}, "not_after"),
        ({"not_before": 86_500, "not_after": 200_000}, "not_before"),
    ],
)
def test_window(desks: Desks, changes: dict[str, int], member: str) -> None:
    """A key's window is at most thirteen months, not over, and starts within a day."""
    joining = join(desks, NEWCOMER)
    now = joining.session.now()

    answer = desks.post(joining.enrolment(**{name: now + value for name, value in changes.items()}), KEY)

    assert (422, "life-too-long", member) == problem_of(answer)


def test_proof_of_possession(desks: Desks) -> None:
    """An enrolment not signed by the key it carries is refused."""
    joining = join(desks, NEWCOMER)
    good = joining.enrolment()
    forged = good.signing_input + b"." + b64u(SigningKey.generate().sign(good.signing_input)).encode()

    assert (403, "bad-signature", "signature") == problem_of(desks.post(forged, KEY))


def test_answer_to_an_order(desks: Desks) -> None:
    """An order answers with its place in the log, its events and a receipt."""
    answer = desks.order("ceiling", agency=ISSUER, tlp="GREEN")

    members = answer.json()
    assert (201, ["grant.changed", "order.accepted"], False) == (
        answer.status_code,
        members["events"],
        members["needs_second"],
    )
    assert f'"{members["id"]}"' == answer.headers["etag"]
    assert members["receipt"].startswith("c2sp.org/tlog-proof@v1")


def test_order_of_one(desks: Desks) -> None:
    """What takes two waits for the second: 202, no effect, and the order is listed."""
    line = desks.session(REGISTRAR).sign_order("ceiling", {"agency": ISSUER, "tlp": "GREEN"})

    answer = desks.post(line, ORDER)

    assert (202, True, ["order.accepted"]) == (
        answer.status_code,
        answer.json()["needs_second"],
        answer.json()["events"],
    )
    assert "RED" == desks.hub.directory.grant(ISSUER).ceiling
    [waiting] = desks.get("/v1/admin/orders", AUDITOR).json()["orders"]
    assert (line.id, "ceiling", ISSUER, line.raw.decode()) == tuple(
        waiting[name] for name in ("id", "act", "agency", "line")
    )


def test_order_of_two(desks: Desks) -> None:
    """Countersigned by another administrator the order takes effect and no longer waits."""
    line = desks.session(REGISTRAR).sign_order("ceiling", {"agency": ISSUER, "tlp": "GREEN"})
    desks.post(line, ORDER)

    answer = desks.post(desks.session(AUDITOR).countersign(line), ORDER)

    assert 201 == answer.status_code
    assert "GREEN" == desks.hub.directory.grant(ISSUER).ceiling
    assert [] == desks.get("/v1/admin/orders", AUDITOR).json()["orders"]


def test_order_waits_a_day(desks: Desks) -> None:
    """An order that nobody countersigned within a day waits no longer."""
    line = desks.session(REGISTRAR).sign_order("ceiling", {"agency": ISSUER, "tlp": "GREEN"})
    desks.post(line, ORDER)
    desks.clock.advance(86_402)

    late = desks.post(desks.session(AUDITOR).countersign(line), ORDER)

    assert (422, "stale", "iat") == problem_of(late)
    assert [] == desks.get("/v1/admin/orders", AUDITOR).json()["orders"]


def test_second_person_is_another(desks: Desks) -> None:
    """Nobody is the second person of their own order."""
    session = desks.session(REGISTRAR)

    answer = desks.post(session.countersign(session.sign_order("ceiling", {"agency": ISSUER, "tlp": "GREEN"})), ORDER)

    assert (403, "not-allowed", "iss") == problem_of(answer)
    assert [REGISTRAR] == [event.party for event in desks.events(kind="order.refused")]


def test_self_approval(desks: Desks) -> None:
    """An administrator approves no key of their own."""
    joining = join(desks, REGISTRAR)
    desks.post(joining.enrolment(), KEY)

    answer = desks.order("approve", agency=REGISTRAR, kid=joining.kid)

    assert (403, "not-allowed", "agency") == problem_of(answer)


def test_approval_of_a_wrong_fingerprint(desks: Desks) -> None:
    """Approving a key the agency does not have is refused."""
    answer = desks.order("approve", agency=ISSUER, kid=desks.session(READER).identity.key.kid)

    assert (403, "key-not-active", "kid") == problem_of(answer)


def test_approval_of_an_active_key(desks: Desks) -> None:
    """A key is approved once."""
    answer = desks.order("approve", agency=ISSUER, kid=desks.session(ISSUER).identity.key.kid)

    assert (409, "order-conflict", "kid") == problem_of(answer)


def test_third_administrator(desks: Desks) -> None:
    """Inviting an administrator takes two, and the new one then counts."""
    first = desks.session(REGISTRAR).sign_order("invite", {"agency": "admin/third"})
    assert 202 == desks.post(first, ORDER).status_code
    joining = join(desks, "admin/third")
    desks.post(joining.enrolment(), KEY)
    desks.order("approve", agency="admin/third", kid=joining.kid)

    order = joining.session.sign_order("suspend", {"agency": ISSUER, "reason": "test"})

    assert 201 == desks.post(order, ORDER).status_code


def rotate(desks: Desks, party: str, overlap_s: int = 3_600) -> tuple[SigningKey, httpx.Response]:
    """Hand over to a new key."""
    new = SigningKey.generate()
    return new, desks.post(desks.session(party).sign_rotation(new, holder="desk", overlap_s=overlap_s), KEY)


def session_of(desks: Desks, party: str, key: SigningKey) -> Session:
    """Return a session of a party with another key."""
    hub = desks.session(party).identity.hub
    return Session(Identity(party, key, hub), State(":memory:", log_key=hub.log_key), desks.clock)


def test_rotation(desks: Desks) -> None:
    """A new key acts after a day, the old one until the overlap is over."""
    new, answer = rotate(desks, ISSUER)
    old, later = desks.session(ISSUER), session_of(desks, ISSUER, new)
    assert (201, ["key.rotated"]) == (answer.status_code, answer.json()["events"])

    states = []
    for wait in (0, 86_000, 1_000, 2_000, 2_000):
        desks.clock.advance(wait)
        states.append((token_works(desks, old), token_works(desks, later)))

    assert [(True, False), (True, False), (True, True), (True, True), (False, True)] == states


def test_rotation_approved(desks: Desks) -> None:
    """An administrator's approval makes a new key act at once, and the overlap begins."""
    new, _ = rotate(desks, ISSUER)

    desks.order("approve", agency=ISSUER, kid=new.kid)

    assert token_works(desks, session_of(desks, ISSUER, new))
    desks.clock.advance(3_601)
    assert not token_works(desks, desks.session(ISSUER))


def test_rotation_by_a_revoked_key(desks: Desks) -> None:
    """A revoked key hands over to nothing, and the attempt is its agency's event."""
    session = desks.session(ISSUER)
    desks.post(session.sign_revocation("keyCompromise", session.now()), KEY)

    new, answer = rotate(desks, ISSUER)

    assert (403, "key-not-active", "kid") == problem_of(answer)
    assert [ISSUER] == [event.party for event in desks.events(kind="key.refused")]
    assert new.kid not in desks.hub.directory.keys


def test_rotation_twice(desks: Desks) -> None:
    """A key hands over once."""
    rotate(desks, ISSUER)

    _, answer = rotate(desks, ISSUER)

    assert (409, "order-conflict", "kid") == problem_of(answer)


def test_rotation_to_a_key_in_use(desks: Desks) -> None:
    """Nobody rotates to a key that is enrolled."""
    key = desks.session(READER).identity.key

    answer = desks.post(desks.session(ISSUER).sign_rotation(key, holder="desk", overlap_s=0), KEY)

    assert (409, "order-conflict", "kid") == problem_of(answer)


def test_revocation(desks: Desks) -> None:
    """A key revokes itself at once; it cannot be undone or repeated."""
    session = desks.session(ISSUER)

    answer = desks.post(session.sign_revocation("cessationOfOperation", session.now()), KEY)
    again = desks.post(session.sign_revocation("unspecified", session.now()), KEY)

    assert (201, ["key.revoked"]) == (answer.status_code, answer.json()["events"])
    assert "revoked" == state_of(desks, session.identity.key.kid)
    assert (403, "key-not-active", "kid") == problem_of(again)


def test_revocation_of_another_key(desks: Desks) -> None:
    """A key revokes no other key."""
    session = desks.session(ISSUER)
    payload = {"act": "revoke", "kid": desks.session(READER).identity.key.kid, "reason": "unspecified", "since": 0}

    answer = desks.post(session.sign_line(KEY, canonical(payload)), KEY)

    assert (403, "not-allowed", "kid") == problem_of(answer)


def test_revocation_by_two(desks: Desks) -> None:
    """Two administrators revoke the key of an agency; one alone does not."""
    kid = desks.session(ISSUER).identity.key.kid
    arguments = {"agency": ISSUER, "kid": kid, "reason": "keyCompromise", "since": desks.hub.now()}

    alone = desks.post(desks.session(REGISTRAR).sign_order("revoke", arguments), ORDER)
    state = state_of(desks, kid)
    both = desks.order("revoke", **arguments)

    assert (202, "active") == (alone.status_code, state)
    assert (201, "revoked") == (both.status_code, state_of(desks, kid))


def test_compromise_ends_heirs(desks: Desks) -> None:
    """Revoking a key as compromised revokes what a thief rotated it to."""
    session = desks.session(ISSUER)
    new, _ = rotate(desks, ISSUER)

    desks.post(session.sign_revocation("keyCompromise", session.now() - 10), KEY)

    assert "revoked" == state_of(desks, new.kid)


def test_suspension(desks: Desks) -> None:
    """A suspended agency publishes nothing; it may still recall; resumed it publishes again."""
    line = desks.publish(ISSUER, [READER])
    desks.order("suspend", agency=ISSUER, reason="test")

    refused = desks.post(desks.bulletin(ISSUER, [READER]))
    recalled = desks.post(desks.recall(ISSUER, line.id, [READER]))
    shown = [each for each in desks.get("/v1/partners", READER).json()["partners"] if each["state"] == "suspended"]
    desks.order("resume", agency=ISSUER)
    resumed = desks.post(desks.bulletin(ISSUER, [READER]))

    assert (403, "partner-suspended", "iss") == problem_of(refused)
    assert (201, 201) == (recalled.status_code, resumed.status_code)
    assert [ISSUER] == [each["id"] for each in shown]


@pytest.mark.parametrize(("act", "first"), [("suspend", True), ("resume", False)])
def test_standing_that_is_so_already(desks: Desks, act: str, first: bool) -> None:  # noqa: FBT001 - a table
    """Suspending the suspended, or resuming one who is not, is refused."""
    arguments = {"agency": ISSUER} | ({"reason": "test"} if act == "suspend" else {})
    if first:
        desks.order(act, **arguments)
        desks.clock.advance(1)

    assert (409, "order-conflict", "agency") == problem_of(desks.order(act, **arguments))


def test_suspended_administrator(desks: Desks) -> None:
    """A suspended administrator orders and reads nothing."""
    joining = join(desks, "admin/third")
    desks.post(joining.enrolment(), KEY)
    desks.order("approve", agency="admin/third", kid=joining.kid)
    desks.order("suspend", agency="admin/third", reason="test")

    ordered = desks.post(joining.session.sign_order("resume", {"agency": ISSUER}), ORDER)
    read = desks.get("/v1/admin/keys", Authorization=f"Bearer {joining.session.token()}")

    assert (403, "not-allowed", "iss") == problem_of(ordered)
    assert (401, "unauthorized", None) == problem_of(read)


def test_grant_to_a_stranger(desks: Desks) -> None:
    """Nothing is granted to one who is no partner."""
    answer = desks.order("grant", agency="xx-police", publish=[], read=[])

    assert (409, "order-conflict", "agency") == problem_of(answer)


@pytest.mark.parametrize(
    ("act", "arguments", "member"),
    [
        ("promote", {"agency": ISSUER}, "act"),
        ("grant", {"agency": ISSUER, "publish": ["b", "a"], "read": []}, "publish"),
        ("grant", {"agency": ISSUER, "publish": []}, "read"),
        ("ceiling", {"agency": ISSUER, "tlp": "PURPLE"}, "tlp"),
        ("resume", {"agency": ISSUER, "note": "x"}, "note"),
    ],
)
def test_malformed_order(shared: Desks, act: str, arguments: dict[str, Any], member: str) -> None:
    """An order with an unknown act, a missing, wrong or foreign argument is refused by name."""
    line = shared.session(REGISTRAR).sign_order(act, arguments)

    assert (400, "malformed-payload", member) == problem_of(shared.post(line, ORDER))


def test_same_order_again(desks: Desks) -> None:
    """The same order again answers 200 with the same receipt, and an invitation's code is given only once."""
    line = desks.session(REGISTRAR).sign_order("invite", {"agency": NEWCOMER})
    first = desks.post(line, ORDER)

    again = desks.post(line, ORDER)

    assert (200, first.json()["receipt"]) == (again.status_code, again.json()["receipt"])
    assert "code" in first.json()
    assert "code" not in again.json()


def test_code_is_not_logged(desks: Desks) -> None:
    """An invitation's code stands nowhere in the log or in what partners read."""
    joining = join(desks, NEWCOMER)
    desks.post(joining.enrolment(), KEY)

    assert not [event for event in desks.events() if joining.code.encode() in (event.body or b"")]
    assert joining.code not in desks.get("/v1/log/events?limit=1000", READER).text


def test_partners(shared: Desks) -> None:
    """Partners are listed with name, country, standing and place in the log; the read is recorded."""
    found = shared.get("/v1/partners", READER).json()["partners"]

    assert sorted(DOZEN) == [each["id"] for each in found]
    known = vocabulary.load().agencies[ISSUER]
    [mine] = [each for each in found if each["id"] == ISSUER]
    assert (known.name, known.country, "active") == (mine["name"], mine["country"], mine["state"])
    assert {"view": "partners"} == shared.details(kind="view.read", party=READER)[0]


def test_partner_beyond_the_vocabulary(desks: Desks) -> None:
    """A partner that the vocabulary does not know is shown by its id."""
    joining = join(desks, "xx-harbour")
    desks.post(joining.enrolment(), KEY)
    desks.order("approve", agency="xx-harbour", kid=joining.kid)

    [found] = [each for each in desks.get("/v1/partners", READER).json()["partners"] if each["id"] == "xx-harbour"]

    assert ("xx-harbour", "XX") == (found["name"], found["country"])


def test_communities(shared: Desks) -> None:
    """Communities are listed with their members."""
    found = shared.get("/v1/communities", READER).json()["communities"]

    known = vocabulary.load().communities
    assert {name: sorted({*members} & {*DOZEN}) for name, members in known.items()} == found


def test_keys(shared: Desks) -> None:
    """Keys are a JWKS with state, window and log index, and the events and lines that prove them."""
    found = shared.get("/v1/keys", READER).json()

    key = shared.session(ISSUER).identity.key
    [mine] = [each for each in found["keys"] if each["kid"] == key.kid]
    assert ("OKP", "Ed25519", b64u(key.public), "active") == (mine["kty"], mine["crv"], mine["x"], mine["state"])
    assert (ISSUER, "sig") == (mine["party"], mine["use"])
    # Each key was enrolled and approved; an agency's enrolment carried an opening key.
    assert len(found["keys"]) * 2 + len(found["opening"]) == len(found["events"])
    assert all(row["line"] and row["proof"] for row in found["events"])


def test_revoked_key_is_listed(desks: Desks) -> None:
    """A revoked key stays listed, with when and why."""
    session = desks.session(ISSUER)
    desks.post(session.sign_revocation("cessationOfOperation", session.now()), KEY)

    [mine] = [each for each in desks.get("/v1/keys", READER).json()["keys"] if each["kid"] == session.identity.key.kid]

    [event] = desks.events(kind="key.revoked")
    assert ("revoked", event.seq, "cessationOfOperation") == (mine["state"], mine["revoked_seq"], mine["reason"])


def test_administrators_look_at_partners(shared: Desks) -> None:
    """An administrator's look at the directory is recorded as such."""
    shared.get("/v1/partners", AUDITOR)

    assert {"view": "partners"} == shared.details(kind="admin.viewed", party=AUDITOR)[0]
