"""Objects of the export that never change: markings, definitions of extensions, who made them.

Spec: docs/spec/stix.md; FIRST TLP 2.0 in its STIX form (OASIS); STIX 2.1 section 7.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lintas import vocabulary
from lintas.stix.ids import FIXED_TIME, agency_id, stable_id
from lintas.vocabulary import tlp_label

Object = dict[str, Any]

TLP_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
TLP_MARKINGS: Mapping[str, str] = {
    "CLEAR": "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    "GREEN": "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    "AMBER": "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    "AMBER+STRICT": "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    "RED": "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""The marking objects of TLP 2.0; their ids are the standard's."""

TLP_1_MARKINGS: Mapping[str, str] = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "CLEAR",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "GREEN",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "AMBER",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "RED",
}
"""Those of TLP 1, which files of others still carry."""

MARKINGS: Mapping[str, str] = {**TLP_1_MARKINGS, **{ref: tlp for tlp, ref in TLP_MARKINGS.items()}}
"""What each known marking object means."""

BULLETIN_EXTENSION = stable_id("extension-definition", "extension", "bulletin")
"""The property-extension that carries what STIX has no property for."""

LINTAS_ID = stable_id("identity", "lintas")

NEW_SCO: Mapping[str, str] = {
    "vessel": "extension-definition--2afa021b-fc5e-557f-984b-b55782aeeeb4",
    "vehicle": "extension-definition--ab03a5d6-03de-5d32-a6d5-424d53f3f2ac",
    "cargo-container": "extension-definition--67e92049-62d7-5e37-aae0-6646673ef155",
    "travel-document": "extension-definition--8b992b81-786b-5618-b54f-6efcdbcf9765",
    "flight": "extension-definition--d9275a2a-bd47-5f1c-91b5-6b0e9ec3ca68",
    "imei": stable_id("extension-definition", "extension", "imei"),
    "imsi": stable_id("extension-definition", "extension", "imsi"),
}
"""Observables that only we define."""

FOREIGN_SCO: Mapping[str, str] = {
    "phone-number": "extension-definition--14a97ee2-e666-5ada-a6bd-b7177f79e211",
    "bank-account": "extension-definition--f19f3291-6a84-5674-b311-d75a925d5bd9",
    "payment-card": "extension-definition--b160c6ee-26b6-591c-8885-c192db67cac9",
    "cryptocurrency-wallet": "extension-definition--be78509e-6958-51b1-8b26-d17ee0eba2d7",
    "cryptocurrency-transaction": "extension-definition--151d042d-4dcf-5e44-843f-1024440318e5",
}
"""Observables that others published first; their definition is theirs to give out, so it is named and not sent."""

SCHEMAS: Mapping[str, str] = {
    "vessel": "imo_number (7 digits), mmsi (9 digits), name (capitals): strings, one of them",
    "vehicle": "plate (string) with country (ISO 3166 alpha-2), or vin (17 characters)",
    "cargo-container": "number (ISO 6346), value (the same): strings",
    "travel-document": "issuer (three letters, ICAO 9303), number: strings",
    "flight": "designator (airline and number), departure_date (YYYY-MM-DD): strings",
    "imei": "value (15 digits), number (the same): strings",
    "imsi": "value (14 or 15 digits), number (the same): strings",
}
"""The properties of each observable that we define, all lower case, as docs/spec/stix.md has them."""

BULLETIN_SCHEMA = (
    "On a report or note: line (id of the signed line), issuer, kind, topic, tlp, urgency, release_to, refs, "
    "valid_until, payload (the members of docs/spec/bulletin.md, without what was recalled). On an identity, location "
    "or indicator: indicator (type, value) in the spelling of docs/spec/indicators.md."
)


def tlp_marking(tlp: str) -> Object:
    """Return the marking-definition object of TLP 2.0."""
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": TLP_MARKINGS[tlp],
        "created": "2022-10-01T00:00:00.000Z",
        "name": tlp_label(tlp),
        "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.lower()}},
    }


def common(agencies: Iterable[str], tlps: Iterable[str]) -> Iterator[Object]:
    """Yield what objects of any bulletin may refer to: these markings, all definitions, the identities of agencies."""
    yield from map(tlp_marking, tlps)
    yield lintas_identity()
    yield bulletin_definition()
    yield from map(sco_definition, NEW_SCO)
    yield from map(agency_identity, agencies)


def agency_identity(agency: str) -> Object:
    """Return the identity of an agency, with its name if that is known."""
    known = vocabulary.load().agencies
    name = known[agency].name if agency in known else agency
    return {**dated("identity", agency_id(agency)), "name": name, "identity_class": "organization"}


def lintas_identity() -> Object:
    """Return who published the definitions of extensions."""
    return dated("identity", LINTAS_ID) | {"name": "Lintas", "identity_class": "system"}


def bulletin_definition() -> Object:
    """Return the definition of the property-extension."""
    return _definition(
        BULLETIN_EXTENSION, "Lintas bulletin", schema=BULLETIN_SCHEMA, extension_type="property-extension"
    )


def sco_definition(type: str) -> Object:  # noqa: A002 - the word of STIX
    """Return the definition of an observable that only we define."""
    return _definition(NEW_SCO[type], f"Lintas {type}", schema=SCHEMAS[type], extension_type="new-sco")


def _definition(id: str, name: str, *, schema: str, extension_type: str) -> Object:  # noqa: A002 - the word of STIX
    return dated("extension-definition", id) | {
        "created_by_ref": LINTAS_ID,
        "name": name,
        "description": "Published in docs/spec/stix.md of Lintas.",
        "schema": schema,
        "version": "1.0.0",
        "extension_types": [extension_type],
    }


def dated(type: str, id: str) -> Object:  # noqa: A002 - the words of STIX
    """Return the beginning of an object that never changes."""
    return {"type": type, "spec_version": "2.1", "id": id, "created": FIXED_TIME, "modified": FIXED_TIME}
