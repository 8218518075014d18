"""The OpenAPI 3.1 document: FastAPI's own, completed."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from broker.web.answers import ANSWERS, COSIGNED, EVENTS, EXAMPLE_ID, LINE, PLAIN, RECEIPT, ROW
from broker.web.http import JSON_MEDIA, LINES_MEDIA, PROBLEM_MEDIA
from lintas import filter as filters
from lintas.errors import STATUS, NotFound, Unauthorized
from lintas.header import ACK, BULLETIN, KEY, LOGGED, ORDER

_TEXT: dict[str, Any] = {"type": "string"}
_OBJECT: dict[str, Any] = {"type": "object"}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT, "example": EXAMPLE_ID}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N`: an empty page waits up to N seconds (60 at most) for something to come.",
    "schema": _TEXT,
    "example": "wait=30",
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "A stream resumes behind this log index.",
    "schema": _TEXT,
    "example": "12",
}
_PUBLIC = frozenset(
    {"/healthz", "/readyz", "/.well-known/lintas", "/v1/log/checkpoint", "/v1/log/key", "/v1/log/policy"}
)
_INTEROP = ("/misp/", "/taxii2/")
_TAGGED = frozenset({("get", "/misp/manifest.json"), ("get", "/misp/hashes.csv")})
_SIGNED_POSTS = {"/v1/keys": KEY, "/v1/orders": ORDER, "/v1/bulletins/{id}/ack": ACK}
_TOKEN_POSTS = frozenset({"/v1/subscriptions/{name}/cursor", "/v1/console/links"})
_BODIES: dict[tuple[str, str], Any] = {
    ("put", "/v1/subscriptions/{name}"): {"filter": {"topic": ["cyber"], "tlp": ["AMBER"]}, "start": "now"},
    ("post", "/v1/subscriptions/{name}/cursor"): {"cursor": 12},
    ("post", "/v1/console/links"): {"role": "officer"},
}


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
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "bearerFormat": "vnd.lintas.token"},
            "readToken": {"type": "http", "scheme": "bearer", "bearerFormat": "lts_<id>_<secret>"},
            "readTokenAsPassword": {"type": "http", "scheme": "basic"},
        },
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
    if (method, path) in ANSWERS:
        media, example = ANSWERS[method, path]
        for code in {"200", "201"}.intersection(operation["responses"]):
            operation["responses"][code] |= _content({media: example})
    is_signed = method == "post" and path not in _TOKEN_POSTS
    operation["security"] = [] if path in _PUBLIC or is_signed else [{"token": []}]
    if path.startswith(_INTEROP):
        operation["security"] += [{"readToken": []}, {"readTokenAsPassword": []}]
    if (method, path) in _TAGGED:
        operation["responses"]["304"] = {"description": "Unchanged since the `ETag` in `If-None-Match`."}
    if path in _SIGNED_POSTS and is_signed:
        media = f"application/{_SIGNED_POSTS[path]}"
        operation["requestBody"] = _content({media: LINE}) | {"required": True}
    if (method, path) == ("post", "/v1/log/cosignatures"):
        operation["requestBody"] = _content({PLAIN: COSIGNED}) | {"required": True}
        operation["responses"]["201"] = operation["responses"]["200"]
    if (method, path) in _BODIES:
        operation["requestBody"] = _content({JSON_MEDIA: _BODIES[method, path]}) | {"required": True}
    for name in _QUERIES.get((method, path), ()):
        operation.setdefault("parameters", []).append(_QUERY[name])


def _hot_paths() -> dict[str, Any]:
    return {
        "/v1/bulletins": {"post": _publish(), "get": _feed()},
        "/v1/bulletins/{id}": {"get": _fetch()},
        "/v1/bulletins/{id}/receipt": {"get": _receipt()},
        "/v1/bulletins/{id}/thread": {"get": _thread()},
    }


def _publish() -> dict[str, Any]:
    results = f'{{"id":"{EXAMPLE_ID}","status":201,"seq":12}}\n'
    return {
        "tags": ["bulletins"],
        "operationId": "publish",
        "summary": "Publish one signed line, or many",
        "description": "One line answers with its receipt; many lines with one result a line, in order.",
        "requestBody": _content(
            {
                f"application/{BULLETIN}": LINE,
                f"application/{LOGGED}": f"{LINE}\n{RECEIPT}",
                LINES_MEDIA: f"{LINE}\n{LINE}\n",
            }
        )
        | {"required": True},
        "responses": {
            "201": _content({"text/plain": RECEIPT}, "Accepted: the receipt (C2SP tlog-proof)."),
            "200": _content(
                {"text/plain": RECEIPT, LINES_MEDIA: results},
                "The same line again with its receipt, or the results of a batch.",
            ),
        },
    }


def _feed() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "feed",
        "summary": "A page of the caller's feed, in log order, or a stream of it",
        "description": "Rows of stored bytes; `Lintas-Cursor` is the `after` of the next page. `Prefer: wait=N` lets "
        "an empty page wait; `Accept: text/event-stream` gives a stream that goes on.",
        "parameters": [_PREFER, _LAST_EVENT_ID],
        "responses": {"200": _content({LINES_MEDIA: ROW, "text/event-stream": EVENTS}, "The rows, oldest first.")},
    }


def _fetch() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "fetch",
        "summary": "One bulletin, as it was signed",
        "parameters": [_ID],
        "responses": {
            "200": _content({f"application/{BULLETIN}": LINE}, "The line."),
            "304": {"description": "Unchanged."},
        },
    }


def _receipt() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "receipt",
        "summary": "The proof that a bulletin is in the log",
        "parameters": [_ID],
        "responses": {"200": _content({"text/plain": RECEIPT}, "The receipt (C2SP tlog-proof).")},
    }


def _thread() -> dict[str, Any]:
    return {
        "tags": ["bulletins"],
        "operationId": "thread",
        "summary": "The bulletins that belong together with this one",
        "description": "References followed both ways, as far as the caller may read; rows as in the feed.",
        "parameters": [_ID],
        "responses": {"200": _content({LINES_MEDIA: ROW}, "The rows, oldest first.")},
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
        _query("watch", "A watch list of the caller; the bulletin has one of its indicators."),
        _query("ref", "Bulletins that refer to this one."),
        _query("superseded", "1 gives it even if it was replaced.", "integer"),
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
    ("get", "/v1/bulletins/{id}"): ("superseded",),
    ("get", "/v1/bulletins/{id}/thread"): ("after", "limit"),
    ("get", "/v1/subscriptions/{name}/bulletins"): ("after", "limit"),
    ("get", "/v1/due"): ("after", "limit"),
    ("get", "/v1/admin/due"): ("after", "limit"),
    ("get", "/v1/watches/{name}/bulletins"): ("after", "limit"),
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
