"""Answers of TAXII 2.1 as bytes with their headers.

Objects leave as the bytes they were stored as. Nothing here is kept by a cache that others share.
Spec: TAXII 2.1 sections 3.2, 3.6, 4, 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lintas.errors import STATUS as STATUS_OF
from lintas.errors import InternalError, LintasError, NotFound, Refusal
from lintas.stix.ids import stamp
from lintas.strict import canonical
from lintas.taxii.accepting import MEDIA
from lintas.taxii.asking import API_ROOT_PATH, Asked, Endpoint
from lintas.taxii.filters import Record, write_position

STIX_MEDIA = "application/stix+json;version=2.1"
CHALLENGE = 'Basic realm="lintas", charset="UTF-8", Bearer'
"""How a caller may say who it is: a read token either as the password or as it is."""

_UNAUTHORIZED, _ACCEPTED = 401, 202


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection as a caller sees it."""

    id: str
    alias: str
    title: str
    description: str
    can_read: bool = True
    can_write: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one posted object; `message` says why it was refused."""

    id: str
    version: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """What became of a post (section 4.3): `requested_us` is when it came, Unix microseconds."""

    id: str
    requested_us: int
    successes: Sequence[Outcome] = ()
    failures: Sequence[Outcome] = ()
    pendings: Sequence[Outcome] = ()


def collection_id(server: str, alias: str) -> str:
    """Return the id of a collection, the same at each start: a UUID of the version that TAXII asks for."""
    digest = hashlib.sha256(f"lintas-taxii-collection\0{server}\0{alias}".encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def discovery(*, title: str, description: str, url: str, contact: str | None = None) -> Answer:
    """Answer with where the API root is; `url` is the server's, without a path."""
    root = f"{url}{API_ROOT_PATH}"
    members = {"title": title, "description": description, "default": root, "api_roots": [root]}
    return _json(members | ({"contact": contact} if contact else {}))


def api_root(*, title: str, description: str, content_bytes_max: int) -> Answer:
    """Answer with what the API root is; `content_bytes_max` bounds what is posted, and is never 0."""
    members = {"title": title, "description": description, "versions": [MEDIA]}
    return _json(members | {"max_content_length": content_bytes_max})


def collections(found: Sequence[Collection]) -> Answer:
    """Answer with the collections that the caller may know of."""
    return _json({"collections": [_members(each) for each in found]} if found else {})


def collection(found: Collection) -> Answer:
    """Answer with one collection."""
    return _json(_members(found))


def page(asked: Asked, records: Sequence[Record], *, is_more: bool) -> Answer:
    """Answer with what was found; an object of which there is nothing does not exist: NotFound is raised."""
    if not records:
        if asked.endpoint in {Endpoint.OBJECT, Endpoint.VERSIONS}:
            raise NotFound
        return _json({})
    forms = {Endpoint.MANIFEST: ("objects", _manifest), Endpoint.VERSIONS: ("versions", _version)}
    name, write = forms.get(asked.endpoint, ("objects", _body))
    last_us = records[-1].added_us
    following = b'true,"next":"%b"' % write_position(last_us).encode() if is_more else b"false"
    body = b'{"more":%b,"%b":[%b]}' % (following, name.encode(), b",".join(map(write, records)))
    dates = {
        "X-TAXII-Date-Added-First": stamp(records[0].added_us),
        "X-TAXII-Date-Added-Last": stamp(last_us),
    }
    return _answer(body, further=dates)


def status(found: Status) -> Answer:
    """Answer a post, or the question what became of it."""
    lists = {"success": found.successes, "failure": found.failures, "pending": found.pendings}
    details = {
        f"{name}{'es' if name == 'success' else 's'}": [_detail(each) for each in lists[name]]
        for name in lists
        if lists[name]
    }
    counts = {f"{name}_count": len(lists[name]) for name in lists}
    members = {
        "id": found.id,
        "status": "pending" if found.pendings else "complete",
        "request_timestamp": stamp(found.requested_us),
        "total_count": sum(counts.values()),
    }
    return _json(members | counts | details, _ACCEPTED)


def refused(error: LintasError) -> Answer:
    """Answer with an error message; one that is no Refusal is reported as ours, without its text."""
    if not isinstance(error, Refusal):
        error = InternalError()
    code = STATUS_OF.get(type(error), 500)
    members: dict[str, Any] = {"title": error.title(), "error_code": error.code, "http_status": str(code)}
    if error.detail:
        members["description"] = error.detail
    if error.member is not None:
        members["details"] = {"parameter": error.member}
    further = {"WWW-Authenticate": CHALLENGE} if code == _UNAUTHORIZED else {}
    for name, header in (("retry_after", "Retry-After"), ("allow", "Allow")):
        if name in error.extra:
            further[header] = str(error.extra[name])
    return _answer(canonical(members), code, further)


def _members(found: Collection) -> dict[str, Any]:
    return {
        "id": found.id,
        "title": found.title,
        "description": found.description,
        "alias": found.alias,
        "can_read": found.can_read,
        "can_write": found.can_write,
        "media_types": [STIX_MEDIA],
    }


def _body(record: Record) -> bytes:
    return record.body


def _manifest(record: Record) -> bytes:
    added = stamp(record.added_us)
    media = f"application/stix+json;version={record.spec_version}"
    return canonical({"id": record.id, "date_added": added, "version": record.version or added, "media_type": media})


def _version(record: Record) -> bytes:
    # A time has nothing to escape.
    return b'"%b"' % (record.version or stamp(record.added_us)).encode()


def _detail(outcome: Outcome) -> dict[str, str]:
    members = {"id": outcome.id, "version": outcome.version}
    return members | ({"message": outcome.message} if outcome.message else {})


def _json(members: Mapping[str, Any], code: int = 200) -> Answer:
    return _answer(canonical(members), code)


def _answer(body: bytes, code: int = 200, further: Mapping[str, str] | None = None) -> Answer:
    return Answer(code, {"Content-Type": MEDIA, "Cache-Control": "private, no-cache", **(further or {})}, body)
