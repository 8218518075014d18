"""The OpenAPI 3.1 document: FastAPI's own, completed."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from broker.web.http import LINES_MEDIA, PROBLEM_MEDIA
from lintas import filter as filters
from lintas.errors import STATUS, NotFound, Unauthorized
from lintas.header import BULLETIN, KEY, ORDER

_EXAMPLE_ID = "dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU"
_LINE = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoi...fQ.eyJ0aXRsZSI6Ii4uLiJ9.c2lnbmF0dXJl..."
_RECEIPT = "c2sp.org/tlog-proof@v1\nextra eyJ2IjoxLC4uLn0=\nindex 12\n\nlintas.example-k3v9q2xa/log/1\n13\n...\n"
_ROW = '{"seq":12,"line":"eyJhbGciOi..."}\n{"seq":15,"id":"' + _EXAMPLE_ID + '","state":"recalled"}\n'
_TEXT: dict[str, Any] = {"type": "string"}
_OBJECT: dict[str, Any] = {"type": "object"}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT, "example": _EXAMPLE_ID}
_PUBLIC = frozenset(
    {"/healthz", "/readyz", "/.well-known/lintas", "/v1/log/checkpoint", "/v1/log/key", "/v1/log/policy"}
)
_SIGNED_POSTS = {"/v1/keys": KEY, "/v1/orders": ORDER}


def install(app: FastAPI) -> None:
    """Make the application serve the complete document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = _complete(found)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    paths = document.setdefault("paths", {}) | _hot_paths()
    document["paths"] = dict(sorted(paths.items()))
    document["components"] = {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "vnd.lintas.token"}},
        "schemas": {"Problem": _problem_schema()},
        "responses": {
            "Problem": {
                "description": "A problem (RFC 9457); docs/spec/problems.md lists every type.",
                "content": {
                    PROBLEM_MEDIA: {
                        "schema": {"$ref": "#/components/schemas/Problem"},
                        "example": {**Unauthorized().problem(), "status": STATUS[Unauthorized]},
                    }
                },
            }
        },
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete_operation(path, method, operation)
    return document


def _complete_operation(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"] = {code: response for code, response in operation["responses"].items() if code != "422"} | {
        "default": {"$ref": "#/components/responses/Problem"}
    }
    if (method, path) in _ANSWERS:
        media, example = _ANSWERS[method, path]
        for code in {"200", "201"}.intersection(operation["responses"]):
            operation["responses"][code] |= _content({media: example})
    is_signed = method == "post"
    operation["security"] = [] if path in _PUBLIC or is_signed else [{"token": []}]
    if path in _SIGNED_POSTS and is_signed:
        media = f"application/{_SIGNED_POSTS[path]}"
        operation["requestBody"] = _content({media: _LINE}) | {"required": True}
    if (method, path) == ("post", "/v1/log/cosignatures"):
        operation["requestBody"] = _content({_PLAIN: _COSIGNED}) | {"required": True}
        operation["responses"]["201"] = operation["responses"]["200"]
    for name in _QUERIES.get((method, path), ()):
        operation.setdefault("parameters", []).append(_QUERY[name])


def _hot_paths() -> dict[str, Any]:
    return {
        "/v1/bulletins": {"post": _publish(), "get": _feed()},
        "/v1/bulletins/{id}": {"get": _fetch()},
        "/v1/bulletins/{id}/receipt": {"get": _receipt()},
    }


def _publish() -> dict[str, Any]:
    results = f'{{"id":"{_EXAMPLE_ID}","status":201,"seq":12}}\n'
    return {
        "tags": ["bulletins"],
        "operationId": "publish",
        "summary": "Publish one signed line, or many",
        "description": "One line answers with its receipt; many lines with one result a line, in order.",
        "requestBody": _content({f"application/{BULLETIN}": _LINE, LINES_MEDIA: f"{_LINE}\n{_LINE}\n"})
        | {"required": True},
        "responses": {
            "201": _content({"text/plain": _RECEIPT}, "Accepted: the receipt (C2SP tlog-proof)."),
            "200": _content(
                {"text/plain": _RECEIPT, LINES_MEDIA: results},
                "The same line again with its receipt, or the results of a batch.",
            ),
        },
    }


def _feed() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "feed",
        "summary": "A page of the caller's feed, in log order",
        "description": "Rows of stored bytes; `Lintas-Cursor` is the `after` of the next page.",
        "responses": {"200": _content({LINES_MEDIA: _ROW}, "The rows, oldest first.")},
    }


def _fetch() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "fetch",
        "summary": "One bulletin, as it was signed",
        "parameters": [_ID],
        "responses": {
            "200": _content({f"application/{BULLETIN}": _LINE}, "The line."),
            "304": {"description": "Unchanged."},
        },
    }


def _receipt() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "receipt",
        "summary": "The proof that a bulletin is in the log",
        "parameters": [_ID],
        "responses": {"200": _content({"text/plain": _RECEIPT}, "The receipt (C2SP tlog-proof).")},
    }


def _content(examples: dict[str, Any], description: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {
        "content": {
            media: {"schema": _OBJECT if isinstance(example, dict) else _TEXT, "example": example}
            for media, example in examples.items()
        }
    }
    return found | ({"description": description} if description else {})


def _problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": {"type": "string", "example": NotFound().problem()["type"]},
            "title": {"type": "string", "description": "What happened and what to do next."},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "member": {"type": "string", "description": "The member or parameter at fault."},
        },
    }


def _query(name: str, description: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind}}


_QUERY = {
    each["name"]: each
    for each in (
        _query("after", "Log index after which to begin; the cursor of the last page.", "integer"),
        _query("before", "Log index before which to go on.", "integer"),
        _query("limit", "Rows at most.", "integer"),
        _query("topic", "A topic; it covers its sub-topics."),
        _query("kind", "A kind of bulletin, or of event."),
        _query("from", "The issuer."),
        _query("country", "The country of the issuer, such as my."),
        _query("urgency", "An urgency."),
        _query("tlp", "A marking without its prefix."),
        _query("indicator", "A type of indicator that the bulletin has."),
        _query("ref", "Bulletins that refer to this one."),
        _query("size", "A published size of the log.", "integer"),
        _query("old", "The size already known.", "integer"),
        _query("witnessed", "1 asks for a checkpoint that enough witnesses cosigned.", "integer"),
        _query("nonce", "Any base64url text; the record of this read repeats it."),
        _query("since", "RFC 3339 time, inclusive."),
        _query("until", "RFC 3339 time, exclusive."),
        _query("party", "An agency, an administrator, `*` or `hub`."),
        _query("object", "The id of a line."),
        _query("outcome", "accepted, refused, failed or done."),
        _query("text", "Text within index, party and object."),
        _query("format", "json (a page), jsonl or csv (every match, streamed)."),
        _query("proof", "1 adds the receipt of each event."),
    )
}
_QUERIES = {
    ("get", "/v1/bulletins"): ("after", "limit", *filters.MEMBERS, "ref"),
    ("get", "/v1/bulletins/{id}/receipt"): ("witnessed",),
    ("get", "/v1/log/checkpoint"): ("witnessed",),
    ("get", "/v1/log/proof/{seq}"): ("size",),
    ("get", "/v1/log/witness"): ("old", "size"),
    ("get", "/v1/log/events"): ("after", "limit", "kind", "nonce"),
    ("get", "/v1/admin/events"): (
        *("since", "until", "kind", "party", "object", "outcome", "text"),
        *("before", "limit", "format", "proof"),
    ),
}

_JSON = "application/json"
_PLAIN = "text/plain"
_OCTETS = "application/octet-stream"
_TIME = "2026-11-24T03:00:00.000000Z"
_CHECKPOINT = "lintas.example-k3v9q2xa/log/1\n13\n...\n"
_COSIGNED = _CHECKPOINT + "\n\u2014 lintas.example-k3v9q2xa/witness/my-police XR48eg...\n"
_EXAMPLE_PARTNER = {"id": "my-police", "name": "...", "country": "MY", "state": "active", "joined_seq": 9}
_EXAMPLE_GRANT = {"publish": ["cyber"], "read": ["*"], "ceiling": "AMBER"}
_EXAMPLE_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "...",
    "kid": _EXAMPLE_ID,
    "use": "sig",
    "alg": "Ed25519",
    "party": "my-police",
    "holder": "duty desk",
    "state": "active",
    "not_before": _TIME,
    "not_after": _TIME,
    "seq": 7,
}
_EXAMPLE_EVENT = {
    "seq": 12,
    "time": _TIME,
    "kind": "bulletin.accepted",
    "outcome": "accepted",
    "party": "my-police",
    "party_seq": 3,
    "object": _EXAMPLE_ID,
    "detail": {"kind": "alert"},
}
_EXAMPLE_ORDER = {
    "id": _EXAMPLE_ID,
    "act": "ceiling",
    "agency": "my-police",
    "needs": "second",
    "at": _TIME,
    "line": _LINE,
}
_EXAMPLE_POSTED = {"id": _EXAMPLE_ID, "seq": 12, "events": ["key.enrolled"], "needs_second": False, "receipt": _RECEIPT}
_EXAMPLE_PROVEN = {"seq": 7, "body": '{"v":1,"kind":"key.approved","...":"..."}', "line": _LINE, "proof": ["..."]}
_ANSWERS: dict[tuple[str, str], tuple[str, Any]] = {
    ("get", "/healthz"): (_JSON, {"status": "ok"}),
    ("get", "/readyz"): (_JSON, {"status": "ready", "size": 13}),
    ("get", "/.well-known/lintas"): (
        _JSON,
        {
            "name": "lintas.example-k3v9q2xa",
            "origin": "lintas.example-k3v9q2xa/log/1",
            "log_key": "...",
            "limits": {"page_max": 1_000},
            "time": _TIME,
            "simulated": True,
        },
    ),
    ("get", "/v1/partners"): (_JSON, {"partners": [_EXAMPLE_PARTNER]}),
    ("get", "/v1/communities"): (_JSON, {"communities": {"fiu-net": ["id-fiu", "my-fiu", "sg-fiu"]}}),
    ("get", "/v1/keys"): (_JSON, {"keys": [_EXAMPLE_KEY], "events": [_EXAMPLE_PROVEN], "checkpoint": _CHECKPOINT}),
    ("post", "/v1/keys"): (_JSON, _EXAMPLE_POSTED),
    ("post", "/v1/orders"): (_JSON, _EXAMPLE_POSTED | {"events": ["grant.changed", "order.accepted"]}),
    ("get", "/v1/log/checkpoint"): (_PLAIN, _CHECKPOINT),
    ("get", "/v1/log/key"): (_PLAIN, "lintas.example-k3v9q2xa/log/1+1b2c3d4e+AQ...\n"),
    ("get", "/v1/log/policy"): (_PLAIN, "log ...\nwitness my-police ...\nquorum my-police\n"),
    ("post", "/v1/log/cosignatures"): (_JSON, {"size": 13, "new": 1, "witnessed": True}),
    ("get", "/v1/log/tile/{path}"): (_OCTETS, "32 bytes a hash"),
    ("get", "/v1/log/proof/{seq}"): (_PLAIN, "c2sp.org/tlog-proof@v1\nindex 12\n\n" + _CHECKPOINT),
    ("get", "/v1/log/witness"): (_PLAIN, "old 9\n...\n\n" + _CHECKPOINT),
    ("get", "/v1/log/events"): (LINES_MEDIA, '{"seq":7,"body":"{...}","proof":["..."]}\n{"checkpoint":"..."}\n'),
    ("get", "/v1/admin/events"): (_JSON, {"events": [_EXAMPLE_EVENT], "next": None, "checkpoint": _CHECKPOINT}),
    ("get", "/v1/admin/partners"): (_JSON, {"partners": [_EXAMPLE_PARTNER | _EXAMPLE_GRANT]}),
    ("get", "/v1/admin/keys"): (_JSON, {"keys": [_EXAMPLE_KEY | {"state": "pending"}]}),
    ("get", "/v1/admin/grants"): (_JSON, {"grants": {"my-police": _EXAMPLE_GRANT}}),
    ("get", "/v1/admin/orders"): (_JSON, {"orders": [_EXAMPLE_ORDER]}),
    ("get", "/v1/admin/stats"): (
        _JSON,
        {
            "size": 13,
            "newest": _TIME,
            "events": {"bulletin.accepted": 1},
            "queue": 0,
            "admins": 2,
            "two_person": True,
        },
    ),
}
