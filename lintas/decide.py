"""What a key line or an order does to the directory, or why it is refused.

Pure: the hub asks before it logs, a client asks again before it believes what was logged. The only thing a client
cannot repeat is the comparison with an invitation's secret, which the hub alone holds.
Spec: docs/spec/orders.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lintas.directory import (
    EVERY_PARTNER,
    FRESH_S,
    ROTATION_DELAY_S,
    SKEW_S,
    Change,
    Directory,
    KeyRecord,
    check_fresh,
)
from lintas.errors import (
    BadInvite,
    KeyNotActive,
    LifeTooLong,
    NotAllowed,
    OrderConflict,
    PartnerSuspended,
    QuotaExceeded,
    UnknownKey,
)
from lintas.header import KEY, ORDER, Header
from lintas.line import Line, check
from lintas.log_keys import LOG_KEYS_MAX
from lintas.note import parse_vkey
from lintas.opening import OPENING_LIFE_S
from lintas.orders import COMPROMISED, Enrol, Opening, Order, Revoke, Rotate, open_key_line, open_order
from lintas.purge import GRACE_S
from lintas.read_token import TOKENS_MAX
from lintas.strict import b64u
from lintas.webhooks import read_url

KEY_LIFE_S_MAX = 397 * 86_400
"""Thirteen months."""

INVITE_S = 72 * 3600
"""An invitation can be used for three days."""

OPENINGS_A_DAY_MAX = 12
"""Opening keys an agency tells within 24 hours: every client keeps them all, so nobody may pour them in."""

AGENCY_ACTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "interest": ("interest.registered", ("mode", "until", "indicators")),
    "interest-end": ("interest.ended", ("interest",)),
    "watch": ("watch.changed", ("name", "indicators")),
    "webhook": ("webhook.changed", ("subscription", "host")),
    "read-token": (
        "token.issued",
        ("agency", "token", "digest", "ceiling", "areas", "until", "addresses", "by"),
    ),
    "read-token-end": ("token.ended", ("token",)),
}
"""Acts that an agency orders for itself: the event each causes, and the arguments that event tells."""

TWO_PERSON_ACTS = frozenset({"approve", "revoke", "grant", "ceiling", "purge", "log-key"})
"""Acts that two administrators sign once there have been two; so does every act on an administrator."""


def check_signatures(directory: Directory, line: Line) -> None:
    """Verify a line and the line nested in it against the keys on record; raise UnknownKey or BadSignature.

    A key line that enrols is verified with the key it carries: proof of possession, nothing more.
    """
    if line.header.typ == KEY:
        request = open_key_line(line)
        if isinstance(request, Enrol):
            return check(line, request.public)
        check(line, directory.key(line.header.kid, line.header.iss).public)
        if isinstance(request, Rotate):
            check(request.inner, request.public)
        return None
    lines = open_order(line).lines if line.header.typ == ORDER else (line,)
    for each in lines:
        check(each, directory.key(each.header.kid, each.header.iss).public)
    return None


def changes(directory: Directory, line: Line, *, now: int) -> tuple[Change, ...]:
    """Return the events that this key line or order causes at second `now`, first to last; raise a Refusal.

    Signatures are taken as checked (`check_signatures`). An order that still needs a second person causes only its own
    ``order.accepted`` with ``needs: "second"``.
    """
    check_fresh(line.header, hub=directory.hub, now=now)
    if line.header.typ == ORDER:
        return _order(directory, open_order(line), now)
    request = open_key_line(line)
    if isinstance(request, Enrol):
        return _enrol(directory, line, request, now)
    directory.active_key(line.header.kid, line.header.iss, now)
    if isinstance(request, Rotate):
        return _rotate(directory, line, request, now)
    if isinstance(request, Opening):
        return (_tell_opening(directory, line.header.iss, request, by=line.header.kid, now=now),)
    return _revoke_own(directory, line, request)


def _enrol(directory: Directory, line: Line, request: Enrol, now: int) -> tuple[Change, ...]:
    _check_window(request, now)
    if request.kid in directory.keys:
        raise OrderConflict("This key is already enrolled.", member="kid")
    detail = _key_detail(line.header.iss, request)
    if request.invite is None:
        if directory.keys:
            raise BadInvite(member="invite")
        # The first administrator of a new hub: nobody is there yet to invite or approve it.
        approved = Change("key.approved", EVERY_PARTNER, {"agency": line.header.iss, "kid": request.kid})
        return Change("key.enrolled", EVERY_PARTNER, detail), approved
    invite = directory.invites.get(request.invite)
    if invite is None or invite.used or invite.party != line.header.iss or now >= invite.made_at + INVITE_S:
        raise BadInvite(member="invite")
    enrolled = Change("key.enrolled", EVERY_PARTNER, detail | {"invite": request.invite})
    return enrolled, *_carried_opening(directory, line.header.iss, request, now)


def _rotate(directory: Directory, line: Line, request: Rotate, now: int) -> tuple[Change, ...]:
    check_fresh(request.inner.header, hub=directory.hub, now=now)
    _check_window(request, now)
    if request.kid in directory.keys:
        raise OrderConflict("The new key is already enrolled.", member="kid")
    if directory.keys[line.header.kid].superseded_at is not None:
        raise OrderConflict("This key already handed over to another.", member="kid")
    effective = now + ROTATION_DELAY_S
    detail = _key_detail(line.header.iss, request) | {
        "from": line.header.kid,
        "effective": effective,
        "overlap_until": effective + request.overlap_s,
    }
    rotated = Change("key.rotated", EVERY_PARTNER, detail)
    return rotated, *_carried_opening(directory, line.header.iss, request, now)


def _carried_opening(directory: Directory, party: str, request: Enrol | Rotate, now: int) -> tuple[Change, ...]:
    # Told at once, current only when the signing key it came with acts: `Directory.opening_key` asks for that.
    if request.opening is None:
        return ()
    return (_tell_opening(directory, party, request.opening, by=request.kid, now=now),)


def _tell_opening(directory: Directory, party: str, opening: Opening, *, by: str, now: int) -> Change:
    if party.startswith("admin/"):
        raise NotAllowed("Administrators read no bulletins, so nothing is sealed to them.", member="iss")
    if not now < opening.not_after <= now + OPENING_LIFE_S + SKEW_S:
        raise LifeTooLong("An opening key ends within 90 days, and not before now.", member="not_after")
    if any(each.kid == opening.kid for told in directory.openings.values() for each in told):
        # Of another agency too: whoever tells a key that is known may not hold its private half.
        raise OrderConflict("This opening key is known already.", member="public")
    recent = [each.at for each in directory.openings.get(party, ()) if each.at > now - FRESH_S]
    if len(recent) >= OPENINGS_A_DAY_MAX:
        wait_s = min(recent) + FRESH_S - now
        raise QuotaExceeded(f"{OPENINGS_A_DAY_MAX} opening keys a day at most.", member="public", retry_after=wait_s)
    detail = {
        "agency": party,
        "kid": opening.kid,
        "public": b64u(opening.public),
        "not_after": opening.not_after,
        "by": by,
    }
    return Change("key.opening", EVERY_PARTNER, detail)


def _key_detail(party: str, request: Enrol | Rotate) -> dict[str, str | int]:
    return {
        "agency": party,
        "kid": request.kid,
        "public": request.public.hex(),
        "holder": request.holder,
        "not_before": request.not_before,
        "not_after": request.not_after,
    }


def _check_window(request: Enrol | Rotate, now: int) -> None:
    if not request.not_before < request.not_after or request.not_after <= now:
        raise LifeTooLong("The key's window is empty or over.", member="not_after")
    if request.not_after - request.not_before > KEY_LIFE_S_MAX:
        raise LifeTooLong(member="not_after")
    if request.not_before > now + FRESH_S:
        raise LifeTooLong("The key's window starts more than a day from now.", member="not_before")


def _revoke_own(directory: Directory, line: Line, request: Revoke) -> tuple[Change, ...]:
    if request.kid != line.header.kid:
        raise NotAllowed("A key revokes only itself; another's takes two administrators.", member="kid")
    return (_revocation(directory, line.header.iss, request.kid, request.reason, request.since),)


def _revocation(directory: Directory, party: str, kid: str, reason: str, since: int) -> Change:
    heirs: set[str] = set()
    if reason == COMPROMISED:
        # Keys that a thief may have rotated to fall with the key they descend from, past those revoked already.
        for key in directory.keys.values():
            if (key.parent == kid or key.parent in heirs) and key.enrolled_at >= since:
                heirs.add(key.kid)
    also = sorted(heir for heir in heirs if directory.keys[heir].revoked_seq is None)
    detail = {"agency": party, "kid": kid, "reason": reason, "since": since, "also": also}
    return Change("key.revoked", EVERY_PARTNER, detail)


def _order(directory: Directory, order: Order, now: int) -> tuple[Change, ...]:
    if order.act in AGENCY_ACTS:
        return _agency_order(directory, order, now)
    signers = [_check_signer(directory, line, now) for line in order.lines]
    target = str(order.args.get("agency", ""))
    if target in {key.party for key in signers} and order.act != "invite":
        raise NotAllowed("Nobody orders about their own keys or standing.", member="agency")
    if len({key.party for key in signers}) != len(signers) or len({key.kid for key in signers}) != len(signers):
        raise NotAllowed("The second person must be another administrator with another key.", member="iss")
    if order.lines[-1].id in directory.spent:
        # Else a second person could bring an order of the first back to life after it was undone.
        raise OrderConflict("This order took effect before; its first person must order anew.")
    effect = _EFFECTS[order.act](directory, order, now)
    outer = order.lines[0]
    detail = {"act": order.act} | {name: order.args[name] for name in ("agency", "kid", "name") if name in order.args}
    needs_two = directory.two_person and (order.act in TWO_PERSON_ACTS or target.startswith("admin/"))
    if needs_two and len(signers) == 1:
        return (Change("order.accepted", outer.header.iss, detail | {"needs": "second"}),)
    detail["first"] = order.lines[-1].id
    # The effect comes first: a client that sees only the effect then reads the second it was decided at.
    return effect, Change("order.accepted", outer.header.iss, detail)


def _agency_order(directory: Directory, order: Order, now: int) -> tuple[Change, ...]:
    outer = order.lines[0]
    if len(order.lines) > 1 or outer.header.iss not in directory.partners:
        raise NotAllowed("An agency gives this order for itself, alone.", member="iss")
    directory.active_key(outer.header.kid, outer.header.iss, now)
    if directory.is_suspended(outer.header.iss):
        raise PartnerSuspended(member="iss")
    if order.act in _TOKEN_CHECKS:
        _TOKEN_CHECKS[order.act](directory, order, now)
    kind, facts = AGENCY_ACTS[order.act]
    detail = dict(_fact(name, order) for name in facts)
    effect = Change(kind, outer.header.iss, detail)
    return effect, Change("order.accepted", outer.header.iss, {"act": order.act})


def _fact(name: str, order: Order) -> tuple[str, Any]:
    if name == "host":
        # Never more of the address: its path may be a secret between hub and receiver.
        return name, None if order.args["url"] is None else read_url(order.args["url"]).host
    if name in _SIGNED_BY:
        return name, _SIGNED_BY[name](order.lines[0].header)
    value = order.args[name]
    # Of a list of indicators the log tells the length alone: it holds no values.
    return ("count", len(value)) if name == "indicators" else (name, value)


def _check_new_token(directory: Directory, order: Order, now: int) -> None:
    # What is over counts no more: when it is forgotten depends on whose tokens one sees.
    standing = [each for each in directory.read_tokens.values() if each.until > now]
    if any(each.id == order.args["token"] for each in standing):
        raise OrderConflict("This id is taken; make another one.", member="token")
    if sum(each.agency == order.lines[0].header.iss for each in standing) >= TOKENS_MAX:
        raise QuotaExceeded(f"An agency has at most {TOKENS_MAX} read tokens; end one first.", member="token")


def _check_token_end(directory: Directory, order: Order, _now: int) -> None:
    # Another's, an ended and an unknown one look alike.
    found = directory.read_tokens.get(order.args["token"])
    if found is None or found.agency != order.lines[0].header.iss:
        raise OrderConflict("You have no such read token.", member="token")


_TOKEN_CHECKS = {"read-token": _check_new_token, "read-token-end": _check_token_end}
_SIGNED_BY: Mapping[str, Callable[[Header], str]] = {
    "agency": lambda header: header.iss,
    "by": lambda header: header.kid,
}
"""Facts of an event that its order does not repeat, for its header has them."""


def _check_signer(directory: Directory, line: Line, now: int) -> KeyRecord:
    if not line.header.iss.startswith("admin/"):
        raise NotAllowed("Only administrators give this order.", member="iss")
    check_fresh(line.header, hub=directory.hub, now=now)
    return directory.active_key(line.header.kid, line.header.iss, now)


def _do_invite(_directory: Directory, order: Order, _now: int) -> Change:
    return Change("partner.invited", EVERY_PARTNER, {"agency": order.args["agency"], "invite": order.lines[-1].id})


def _do_approve(directory: Directory, order: Order, now: int) -> Change:
    record = _target_key(directory, order)
    if record.state(now) != "pending" or record.approved_seq is not None:
        raise OrderConflict(f"The key is {record.state(now)}, not waiting for approval.", member="kid")
    return Change("key.approved", EVERY_PARTNER, {"agency": record.party, "kid": record.kid})


def _do_revoke(directory: Directory, order: Order, now: int) -> Change:
    record = _target_key(directory, order)
    if record.revoked_seq is not None:
        raise OrderConflict("The key is already revoked.", member="kid")
    if order.args["since"] > now + SKEW_S:
        raise OrderConflict("`since` lies in the future.", member="since")
    return _revocation(directory, record.party, record.kid, order.args["reason"], order.args["since"])


def _do_suspend(directory: Directory, order: Order, _now: int) -> Change:
    agency = _known_party(directory, order)
    if directory.is_suspended(agency) or agency in directory.suspended_admins:
        raise OrderConflict("Already suspended.", member="agency")
    return Change("partner.suspended", EVERY_PARTNER, {"agency": agency})


def _do_resume(directory: Directory, order: Order, _now: int) -> Change:
    agency = _known_party(directory, order)
    if not (directory.is_suspended(agency) or agency in directory.suspended_admins):
        raise OrderConflict("Not suspended.", member="agency")
    return Change("partner.resumed", EVERY_PARTNER, {"agency": agency})


def _do_grant(directory: Directory, order: Order, _now: int) -> Change:
    agency = _known_party(directory, order)
    return Change("grant.changed", agency, {"act": "grant", **order.args})


def _do_ceiling(directory: Directory, order: Order, _now: int) -> Change:
    agency = _known_party(directory, order)
    return Change("grant.changed", agency, {"act": "ceiling", **order.args})


def _do_community(_directory: Directory, order: Order, _now: int) -> Change:
    return Change("community.changed", EVERY_PARTNER, dict(order.args))


def _do_purge(_directory: Directory, order: Order, now: int) -> Change:
    if order.args["before"] > now - GRACE_S:
        raise OrderConflict("Only what ended more than a day ago is purged.", member="before")
    return Change("purge.ordered", order.lines[0].header.iss, {"before": order.args["before"]})


def _do_log_key(directory: Directory, order: Order, now: int) -> Change:
    known, text = directory.log_keys, order.args["log_key"]
    assert known is not None
    key = parse_vkey(text)
    if key.name != known.name:
        raise OrderConflict(f"This is no key of the log {known.name}.", member="log_key")
    if key.public in {each.public for each in known.keys}:
        raise OrderConflict("This key signs the log already, or did.", member="log_key")
    if now < known.entries[-1].until:
        raise OrderConflict("The former key of the log still signs too; order the next one after that.")
    if len(known.keys) >= LOG_KEYS_MAX:
        raise OrderConflict(f"A log has at most {LOG_KEYS_MAX} keys; begin a new epoch.")
    detail = {"log_key": text, "former": known.newest.text(), "until": now + order.args["overlap_s"]}
    return Change("log.key", EVERY_PARTNER, detail)


def _known_party(directory: Directory, order: Order) -> str:
    agency = str(order.args["agency"])
    if agency not in directory.partners and agency not in directory.admins:
        raise OrderConflict("No such partner; approve its key first.", member="agency")
    return agency


def _target_key(directory: Directory, order: Order) -> KeyRecord:
    try:
        return directory.key(order.args["kid"], order.args["agency"])
    except UnknownKey as fault:
        raise KeyNotActive("This agency has no such key.", member="kid") from fault


_EFFECTS = {
    "invite": _do_invite,
    "approve": _do_approve,
    "revoke": _do_revoke,
    "suspend": _do_suspend,
    "resume": _do_resume,
    "grant": _do_grant,
    "ceiling": _do_ceiling,
    "community": _do_community,
    "purge": _do_purge,
    "log-key": _do_log_key,
}
