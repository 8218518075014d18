"""The OpenAPI document: valid, complete, with examples and problems."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from broker.app import build_app
from broker.hub import Hub
from broker.limits import Limits
from broker.web import admin, bulletins, subscriptions
from lintas.errors import BY_CODE, PROBLEM_TYPE_PREFIX
from tests.broker.conftest import Desks

# No request is made of it, so it needs no hub.
APP = build_app(cast("Hub", None), limits=Limits(lambda: 0.0))
DOCUMENT: dict[str, Any] = APP.openapi()
OPERATIONS = {
    f"{method} {path}": operation for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
}
SIGNED_POSTS = {
    "post /v1/bulletins",
    "post /v1/bulletins/{id}/ack",
    "post /v1/keys",
    "post /v1/orders",
    "post /v1/log/cosignatures",
}
TOKEN_BODIES = {"put /v1/subscriptions/{name}", "post /v1/subscriptions/{name}/cursor"}
PUBLIC = {
    "get /healthz",
    "get /readyz",
    "get /.well-known/lintas",
    "get /v1/log/checkpoint",
    "get /v1/log/key",
    "get /v1/log/policy",
}


def test_valid() -> None:
    """The document is valid OpenAPI 3.1."""
    validate(DOCUMENT)

    assert DOCUMENT["openapi"].startswith("3.1.")


def test_served(shared: Desks) -> None:
    """The document is served as it was made, without a token."""
    assert DOCUMENT == shared.get("/openapi.json").json()


def routes() -> set[str]:
    """Return every method and path that the application answers, its own pages of documentation left out."""
    found = set()
    for route in _flat(APP.routes):
        if isinstance(route, Route) and route.include_in_schema:
            path = route.path.replace(":path}", "}")
            found |= {f"{method.lower()} {path}" for method in (route.methods or set()) - {"HEAD"}}
    return found


def _flat(found: Any) -> list[Any]:
    return [each for route in found for each in ([route] if isinstance(route, Route) else _flat(_inner(route)))]


def _inner(route: Any) -> Any:
    router = getattr(route, "original_router", None)
    return router.routes if router is not None else []


def test_every_route_is_described() -> None:
    """What the application answers is what the document describes."""
    assert routes() == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_operation(operation: dict[str, Any]) -> None:
    """Each operation has words, a success and the problem response; none tells of a 422 that is not ours."""
    assert operation["summary"]
    assert {"$ref": "#/components/responses/Problem"} == operation["responses"]["default"]
    assert {"200", "201"} & set(operation["responses"])
    assert "422" not in operation["responses"]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_security(name: str) -> None:
    """Reads need a token unless public, those of tools take read tokens too; what is posted is signed itself."""
    expected: list[dict[str, list[str]]] = [] if name in PUBLIC | SIGNED_POSTS else [{"token": []}]
    if name.split()[1].startswith(("/misp/", "/taxii2/")):
        expected += [{"readToken": []}, {"readTokenAsPassword": []}]

    assert expected == OPERATIONS[name]["security"]


@pytest.mark.parametrize("name", sorted(SIGNED_POSTS | TOKEN_BODIES))
def test_bodies_have_examples(name: str) -> None:
    """Each body that is posted is required and shown by an example."""
    body = OPERATIONS[name]["requestBody"]

    assert body["required"]
    assert all(each["example"] for each in body["content"].values())


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_successes_have_examples(name: str) -> None:
    """Each success that has a body is shown by an example."""
    contents = [
        content
        for code, response in OPERATIONS[name]["responses"].items()
        if code.startswith("2")
        for content in response.get("content", {}).values()
    ]

    assert contents
    assert all("example" in content for content in contents)


def test_problem_example() -> None:
    """The example of a problem is one that the hub gives."""
    content = DOCUMENT["components"]["responses"]["Problem"]["content"]["application/problem+json"]

    assert content["example"]["type"].removeprefix(PROBLEM_TYPE_PREFIX) in BY_CODE
    assert set(content["example"]) <= set(DOCUMENT["components"]["schemas"]["Problem"]["properties"])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("get /v1/bulletins", bulletins.FEED_PARAMS),
        ("get /v1/subscriptions/{name}/bulletins", subscriptions.PAGE_PARAMS),
        ("get /v1/admin/events", admin.FILTERS | {"before", "limit", "format", "proof"}),
        ("get /v1/log/events", {"after", "limit", "kind", "nonce"}),
        ("get /v1/log/witness", {"old", "size"}),
        ("get /v1/log/proof/{seq}", {"size"}),
    ],
)
def test_parameters(name: str, parameters: set[str]) -> None:
    """Each query parameter that an operation takes is described, and no other."""
    found = {each["name"] for each in OPERATIONS[name]["parameters"] if each["in"] == "query"}

    assert parameters == found


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_path_parameters(name: str) -> None:
    """Each part of a path that varies is described."""
    in_path = set(re.findall(r"{(\w+)}", name))

    assert in_path == {each["name"] for each in OPERATIONS[name].get("parameters", []) if each["in"] == "path"}


def test_documentation_page(shared: Desks) -> None:
    """People find every operation on one page that fetches nothing from elsewhere."""
    answer = shared.get("/docs")

    assert all(f"{name.split()[0].upper()} {name.split()[1]}</code>" in answer.text for name in OPERATIONS)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "<script" not in answer.text
    assert "http" not in answer.text.replace("Lintas: HTTP", "").replace("https://", "http")
