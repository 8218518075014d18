"""MISP events of others as drafts of bulletins.

Each event gives a draft. Texts become its summary, links its references, values its indicators.
Spec: docs/howto/import.md; MISP core format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lintas.errors import BadRequest
from lintas.imported import Carrier, Choices, Import, draft_all, narrowest, references
from lintas.strict import Json

EVENTS_MAX = 1_000
PARTS_MAX = 50_000
"""Attributes and objects of one event."""

TLP_TAGS: Mapping[str, str] = {
    "tlp:white": "CLEAR",
    "tlp:clear": "CLEAR",
    "tlp:green": "GREEN",
    "tlp:amber": "AMBER",
    "tlp:amber+strict": "AMBER+STRICT",
    "tlp:red": "RED",
}

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "phone-number": ("phone",),
    "whois-registrant-phone": ("phone",),
    "iban": ("iban",),
    "cc-number": ("payment-card",),
    "btc": ("wallet-btc",),
    "travel-details": ("flight",),
    **dict.fromkeys(("email", "email-src", "email-dst", "email-reply-to", "target-email"), ("email",)),
    **dict.fromkeys(("whois-registrant-email", "dns-soa-email"), ("email",)),
    **dict.fromkeys(("domain", "hostname", "onion-address"), ("domain", "ip")),
    **dict.fromkeys(("url", "uri"), ("url",)),
    **dict.fromkeys(("ip-src", "ip-dst", "ip"), ("ip",)),
    **dict.fromkeys(("md5", "sha1", "sha256", "sha512"), ("file-hash",)),
}
"""What an attribute may be, by its type."""

RELATIONS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("phone", "imei"): ("imei",),
    ("phone", "imsi"): ("imsi",),
    ("phone", "msisdn"): ("phone",),
    ("coin-address", "address-crypto"): ("wallet-evm", "wallet-tron", "wallet-btc"),
    ("cryptocurrency-transaction", "transaction-number"): ("crypto-tx",),
    ("ais-observation", "IMO-number"): ("vessel-imo",),
    ("ais-observation", "MMSI"): ("vessel-mmsi",),
    ("ais-observation", "name"): ("vessel-name",),
    ("ftm-Vessel", "name"): ("vessel-name",),
    ("ftm-Vessel", "imoNumber"): ("vessel-imo",),
    ("ftm-Vessel", "mmsi"): ("vessel-mmsi",),
    ("vehicle", "vin"): ("vehicle-vin",),
}
"""What a value within an object may be, by the object's name and the relation."""

JOINED: Mapping[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "geolocation": (("position", ("latitude", "longitude"), ","),),
    "vehicle": (("vehicle-plate", ("state", "license-plate-number"), ":"),),
    "user-account": (("social-handle", ("account-type", "username"), ":"),),
}
"""What several values of an object are together: type, relations, the sign between them."""

SHARING_GROUP = "4"
"""The distribution of what only a named group may have."""

PROSE = frozenset({"comment", "text"})
LINKS = frozenset({"link"})

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[+-]\d\d:?\d\d|Z)?", re.ASCII)


def is_event(members: Json) -> bool:
    """Tell whether this looks like an event of MISP, or an answer with some."""
    return "Event" in members or "response" in members or {"info", "Attribute"} <= members.keys()


def read_events(members: Json, choices: Choices) -> Import:
    """Return a draft for each event; raise BadRequest for what is none, or for what nobody said."""
    carrier = Carrier()
    drafts = [draft for event in _events(members) for draft in _drafts(event, choices, carrier)]
    return Import(tuple(drafts), tuple(carrier.omitted))


def _events(members: Json) -> Iterator[Json]:
    listed = members.get("response", [members])
    if not isinstance(listed, list) or len(listed) > EVENTS_MAX:
        raise BadRequest(f"`response` is a list of at most {EVENTS_MAX} events.", member="response")
    for number, each in enumerate(listed):
        event = each.get("Event", each) if isinstance(each, dict) else None
        if not isinstance(event, dict) or not isinstance(event.get("info"), str):
            raise BadRequest("An event of MISP has an `info`.", member=f"response[{number}]")
        yield event


def _drafts(event: Json, choices: Choices, carrier: Carrier) -> Iterator[Json]:
    attributes, objects = (_listed(event, name, carrier) for name in ("Attribute", "Object"))
    nested = [(each, _listed(each, "Attribute", carrier)) for each in objects]
    every = [*attributes, *(one for _, inner in nested for one in inner)]
    prose, links = _texts(every, PROSE), _texts(every, LINKS)
    for each, inner in nested:
        _carry_object(each, inner, carrier)
    for each in attributes:
        _carry(each, "", carrier)
    tlp = narrowest(_tags([event, *every], carrier))
    if str(event.get("distribution")) == SHARING_GROUP:
        carrier.leave(_where(event), "It was for a sharing group: publish it only if that permits.")
    told = references(links, carrier)
    yield from draft_all(
        carrier,
        choices,
        title=event["info"].strip() or "Event of MISP",
        summary="\n\n".join(prose) if any(text.strip() for text in prose) else f"Imported from MISP: {event['info']}",
        tlp=tlp,
        **({"references": told} if told else {}),
    )


def _listed(members: Json, name: str, carrier: Carrier) -> list[Json]:
    listed = members.get(name, [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise BadRequest(f"`{name}` is a list of objects.", member=name)
    if len(listed) > PARTS_MAX:
        raise BadRequest(f"`{name}` has {len(listed)} entries; {PARTS_MAX} is the limit. Split the event.")
    kept = [each for each in listed if each.get("deleted") not in (True, 1, "1")]
    for each in listed:
        if each.get("deleted") in (True, 1, "1"):
            carrier.leave(_where(each), "It was deleted.")
    return kept


def _texts(listed: Iterable[Json], types: frozenset[str]) -> list[str]:
    return [each["value"] for each in listed if str(each.get("type")) in types and _is_prose(each)]


def _is_prose(each: Json) -> bool:
    # Within an object a text is a field of a form, not a word to the reader.
    return isinstance(each.get("value"), str) and not each.get("object_relation")


def _tags(listed: Iterable[Json], carrier: Carrier) -> Iterator[str]:
    names = dict.fromkeys(name for each in listed for name in _names(each.get("Tag")))
    for name in names:
        if name.lower() in TLP_TAGS:
            yield TLP_TAGS[name.lower()]
        else:
            carrier.leave(f"tag {name}", "Tags have no place in a bulletin; say it in the summary, grading or topic.")


def _names(tags: object) -> Iterator[str]:
    yield from (str(tag.get("name")) for tag in (tags if isinstance(tags, list) else ()) if isinstance(tag, dict))


def _carry_object(each: Json, inner: Sequence[Json], carrier: Carrier) -> None:
    name = str(each.get("name"))
    texts = {str(one.get("object_relation")): str(one.get("value")) for one in inner}
    joined = set(_join(each, name, texts, carrier))
    for one in inner:
        if str(one.get("object_relation")) not in joined:
            _carry(one, name, carrier)


def _join(each: Json, name: str, texts: Mapping[str, str], carrier: Carrier) -> Iterator[str]:
    for kind, relations, sign in JOINED.get(name, ()):
        if all(relation in texts for relation in relations):
            carrier.take(_where(each), (kind,), sign.join(texts[relation] for relation in relations), role=name)
            yield from relations
    bic, number = texts.get("swift", ""), texts.get("account")
    if name == "bank-account" and number and bic:
        # A BIC says in which country the account is.
        carrier.take(_where(each), ("bank-account",), f"{bic[4:6]}:{bic}:{number}", role=name)
        yield from ("swift", "account", "text")


def _carry(each: Json, name: str, carrier: Carrier) -> None:
    kind, value = str(each.get("type")), each.get("value")
    if not isinstance(value, str) or not value.strip():
        carrier.leave(_where(each), "It has no value in text.")
        return
    if _is_prose(each) and kind in PROSE | LINKS:
        return
    types = RELATIONS.get((name, str(each.get("object_relation")))) or ATTRIBUTES.get(kind)
    if types is not None:
        carrier.take(_where(each), types, value, **_said(each, name))
    elif "|" in kind and kind.count("|") == value.count("|"):
        for half, text in zip(kind.split("|"), value.split("|"), strict=True):
            _carry({**each, "type": half, "value": text}, name, carrier)
    else:
        carrier.leave(_where(each), f"We have no type for {kind[:40]} of {name[:40] or 'an event'}.")


def _said(each: Json, name: str) -> dict[str, str | None]:
    comment = each.get("comment")
    seen = {member: _moment(each.get(member)) for member in ("first_seen", "last_seen")}
    if seen["first_seen"] and seen["last_seen"] and seen["first_seen"] > seen["last_seen"]:
        seen = {}
    return {
        "role": name or str(each.get("category") or "") or None,
        "note": comment if isinstance(comment, str) else None,
        **seen,
    }


def _moment(value: Any) -> str | None:
    """Return a time of MISP as we write times, None when it is none."""
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
        known = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{known.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _where(each: Json) -> str:
    value = each.get("value", each.get("name"))
    return " ".join(str(part) for part in (each.get("uuid", ""), each.get("type", ""), value) if part)
