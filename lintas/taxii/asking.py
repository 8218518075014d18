"""A request of TAXII 2.1, read into a value.

Spec: TAXII 2.1 sections 3.1, 4, 5. A missing slash at the end of a path is forgiven.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from lintas.errors import MethodNotAllowed, NotFound
from lintas.taxii.accepting import check_accept, check_content
from lintas.taxii.filters import Wanted, read_wanted

DISCOVERY_PATH = "/taxii2/"
API_ROOT_PATH = "/taxii2/api/"
READING = ("GET", "HEAD")


class Endpoint(Enum):
    """What a request is about. `ADD` and `DELETE` change a collection; every other one reads."""

    DISCOVERY = "discovery"
    API_ROOT = "api-root"
    STATUS = "status"
    COLLECTIONS = "collections"
    COLLECTION = "collection"
    MANIFEST = "manifest"
    OBJECTS = "objects"
    OBJECT = "object"
    VERSIONS = "versions"
    ADD = "add"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `collection` is an id or an alias, as it was written; `object_id` and `status_id` are well formed."""

    endpoint: Endpoint
    collection: str = ""
    object_id: str = ""
    status_id: str = ""
    wanted: Wanted = field(default_factory=Wanted)


def read(method: str, path: str, query: str, headers: Mapping[str, str]) -> Asked:
    """Read a request: `path` is decoded, `query` is not, names of headers are lower-case.

    Raises NotFound, MethodNotAllowed, NotAcceptable, UnsupportedMediaType or BadRequest, in this order.
    """
    methods, found = _route(path)
    endpoint = methods.get("GET" if method == "HEAD" else method)
    if endpoint is None:
        allowed = [each for each in ("GET", "HEAD", "POST", "DELETE") if ("GET" if each == "HEAD" else each) in methods]
        raise MethodNotAllowed(f"Here are {', '.join(allowed)}.", allow=", ".join(allowed))
    check_accept(headers.get("accept"))
    if endpoint is Endpoint.ADD:
        check_content(headers.get("content-type"))
    params, fields = _PARAMS.get(endpoint, ((), ()))
    wanted = read_wanted(query, params, fields)
    return Asked(endpoint, found.get("collection", ""), found.get("object", ""), found.get("status", ""), wanted)


def _route(path: str) -> tuple[Mapping[str, Endpoint], Mapping[str, str]]:
    slashed = path if path.endswith("/") else f"{path}/"
    for pattern, methods in _ROUTES:
        match = pattern.fullmatch(slashed)
        if match is not None:
            return methods, match.groupdict()
    raise NotFound


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_COLLECTION = r"collections/(?P<collection>[a-z0-9-]{1,64})/"
_OBJECT = rf"objects/(?P<object>[a-z0-9][a-z0-9-]{{0,62}}--{_UUID})/"

_ROUTES = tuple(
    (re.compile(pattern, re.ASCII), methods)
    for pattern, methods in (
        (DISCOVERY_PATH, {"GET": Endpoint.DISCOVERY}),
        (API_ROOT_PATH, {"GET": Endpoint.API_ROOT}),
        (rf"{API_ROOT_PATH}status/(?P<status>{_UUID})/", {"GET": Endpoint.STATUS}),
        (rf"{API_ROOT_PATH}collections/", {"GET": Endpoint.COLLECTIONS}),
        (rf"{API_ROOT_PATH}{_COLLECTION}", {"GET": Endpoint.COLLECTION}),
        (rf"{API_ROOT_PATH}{_COLLECTION}manifest/", {"GET": Endpoint.MANIFEST}),
        (rf"{API_ROOT_PATH}{_COLLECTION}objects/", {"GET": Endpoint.OBJECTS, "POST": Endpoint.ADD}),
        (rf"{API_ROOT_PATH}{_COLLECTION}{_OBJECT}", {"GET": Endpoint.OBJECT, "DELETE": Endpoint.DELETE}),
        (rf"{API_ROOT_PATH}{_COLLECTION}{_OBJECT}versions/", {"GET": Endpoint.VERSIONS}),
    )
)

_PAGED = ("added_after", "limit", "next")
_PARAMS = {
    Endpoint.MANIFEST: (_PAGED, ("id", "type", "version", "spec_version")),
    Endpoint.OBJECTS: (_PAGED, ("id", "type", "version", "spec_version")),
    Endpoint.OBJECT: (_PAGED, ("version", "spec_version")),
    Endpoint.VERSIONS: (_PAGED, ("spec_version",)),
    Endpoint.DELETE: ((), ("version", "spec_version")),
}
"""The parameters and `match` fields that each endpoint takes (TAXII 2.1 section 3.4.1)."""
