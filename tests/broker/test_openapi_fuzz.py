"""Requests drawn from the OpenAPI document, by strangers, agencies, administrators: every answer is a described one.

`pytest --fuzz 100` tries a hundred times as many.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.app import build_app
from broker.hub import Hub
from broker.limits import Limits
from lintas.errors import BY_CODE, PROBLEM_TYPE_PREFIX, STATUS
from tests.broker.conftest import AUDITOR, Desks, Template, inner_desks
from tests.conftest import served

ISSUER, READER = "my-police", "sg-fiu"
DOCUMENT: dict[str, Any] = build_app(cast("Hub", None), limits=Limits(lambda: 0.0)).openapi()
_FOUND: list[Any] = [each.ok() for each in cast("Any", schemathesis.openapi.from_dict(DOCUMENT).get_all_operations())]
OPERATIONS = {f"{each.method} {each.path}": each for each in _FOUND}
MEDIA = {
    media for each in OPERATIONS.values() for media in each.definition.raw.get("requestBody", {}).get("content", {})
}
CALLERS = (None, READER, AUDITOR)
schemathesis.serializer(*sorted(MEDIA - {"application/json", "text/plain"}))(lambda _context, value: value)
MARKER = "zqxj-reflected-zqxj"
"""What stands in every value that is sent, and must stand in no answer."""


@pytest.fixture(scope="module")
def fuzzed(few: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """A hub with one bulletin, without limits to what an agency may ask."""
    with inner_desks(few, tmp_path_factory.mktemp("fuzzed") / "hub") as desks:
        server = served(desks.hub)
        server.app.state.limits = Limits(lambda: 0.0, factor=0)
        with server as desks.url:
            desks.publish(ISSUER, [READER])
            yield desks


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(suppress_health_check=list(HealthCheck), max_examples=settings().max_examples // 6)
@given(data=st.data())
def test_answers(fuzzed: Desks, name: str, data: st.DataObject) -> None:
    """Whatever is asked, the answer has a status, a media type and a form that the document describes."""
    case = data.draw(OPERATIONS[name].as_strategy())
    party = data.draw(st.sampled_from(CALLERS))

    answer = send(fuzzed, case, party, data)

    assert answer.status_code not in (500, 503), answer.text
    assert MARKER not in answer.text
    assert MARKER not in str(answer.headers)
    hold(answer, DOCUMENT["paths"][case.path][case.method.lower()]["responses"])


def send(desks: Desks, case: Any, party: str | None, data: st.DataObject) -> httpx.Response:
    """Send a case, now and then with something in it that exists, or with more than it was described with."""
    wanted = data.draw(st.sampled_from([None, "-" * 43, "A" * 43, f"{MARKER}%0d%0a", "feed", "0"]))
    path = case.path
    for name, value in (case.path_parameters or {}).items():
        path = path.replace(f"{{{name}}}", wanted or str(value) or "x")
    query = {str(name): str(value) for name, value in (case.query or {}).items() if isinstance(name, str)}
    if data.draw(st.booleans()):
        query = {name: data.draw(st.sampled_from([MARKER, "1", "0", "-1", "9" * 400, "\0", "*"])) for name in query}
    headers = {name: value for name, value in (case.headers or {}).items() if _is_sendable(name, value)}
    headers.pop("Authorization", None)
    if party is not None:
        headers["Authorization"] = f"Bearer {desks.session(party).token()}"
    if case.media_type is not None:
        headers["Content-Type"] = case.media_type
    if data.draw(st.integers(0, 9)) == 0:
        headers["X-Forwarded-For"] = MARKER
    # A stream has no end that a test would wait for, nor has a page that waits.
    headers |= {"Accept": "*/*", "Prefer": "wait=0"}
    return desks.http.request(
        case.method,
        httpx.URL(desks.url).copy_with(path=_path(path)),
        params=query,
        headers=headers,
        content=_body(case),
    )


def hold(answer: httpx.Response, described: dict[str, Any]) -> None:
    """Compare an answer with what the document says of it."""
    media = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code < 400:
        assert str(answer.status_code) in described
        assert media in described[str(answer.status_code)].get("content", {"": None})
        if media == "application/json":
            assert isinstance(answer.json(), dict)
        return
    members = answer.json()
    code = members["type"].removeprefix(PROBLEM_TYPE_PREFIX)
    assert media == "application/problem+json"
    assert answer.status_code == members["status"] == STATUS[BY_CODE[code]]
    assert members["title"] == BY_CODE[code].title()
    assert set(members) <= {"type", "title", "status", "detail", "member", "retry_after", "by", "seq", "rule"}
    assert (answer.status_code in (429, 503)) <= ("retry-after" in answer.headers)


def _path(path: str) -> str:
    return "".join(character if character.isprintable() else "%00" for character in path.replace("?", "%3f"))


def _is_sendable(name: str, value: Any) -> bool:
    return (
        isinstance(value, str) and name.isascii() and value.isascii() and value.isprintable() and value == value.strip()
    )


def _body(case: Any) -> bytes | None:
    body = case.body
    if isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return None if type(body).__name__ == "NotSet" else json.dumps(body).encode()
