"""The TAXII 2.1 protocol as values."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import taxii
from lintas.errors import (
    BadRequest,
    LogHalted,
    MethodNotAllowed,
    NotAcceptable,
    NotAllowed,
    NotFound,
    RateLimited,
    Refusal,
    Unauthorized,
    UnsupportedMediaType,
)
from lintas.taxii.accepting import ENTRIES_MAX
from lintas.taxii.adding import OBJECTS_MAX
from lintas.taxii.filters import VALUES_MAX, read_position, time_us, write_position

COLLECTION = "6c29e84a-5b3e-4f6d-8a7e-0a5a0c1d2e3f"
OBJECT = "indicator--f5d8f2b0-0c3e-5a41-9d9e-3d2b6f2f8a11"
BASE = f"/taxii2/api/collections/{COLLECTION}/"
NOW_US = 1_795_467_600_123_456
STAMP = "2026-11-23T21:00:00.123456Z"


def read(path: str, query: str = "", method: str = "GET", **headers: str) -> taxii.Asked:
    """Read a request; names of headers with underscores."""
    return taxii.read(method, path, query, {name.replace("_", "-"): value for name, value in headers.items()})


def record(number: int, added_us: int, version: str | None = None) -> taxii.Record:
    """Return an object with a number; an observable when it has no version."""
    kind = "indicator" if version else "ipv4-addr"
    id = f"{kind}--00000000-0000-5000-8000-{number:012x}"  # noqa: A001 - the word of STIX
    return taxii.Record(id, added_us, version, json.dumps({"id": id}).encode())


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/taxii2/", "discovery"),
        ("GET", "/taxii2", "discovery"),
        ("HEAD", "/taxii2/", "discovery"),
        ("GET", "/taxii2/api/", "api-root"),
        ("GET", f"/taxii2/api/status/{COLLECTION}/", "status"),
        ("GET", "/taxii2/api/collections/", "collections"),
        ("GET", BASE, "collection"),
        ("GET", f"{BASE}manifest/", "manifest"),
        ("GET", f"{BASE}objects/", "objects"),
        ("GET", f"{BASE}objects", "objects"),
        ("POST", f"{BASE}objects/", "add"),
        ("GET", f"{BASE}objects/{OBJECT}/", "object"),
        ("DELETE", f"{BASE}objects/{OBJECT}/", "delete"),
        ("GET", f"{BASE}objects/{OBJECT}/versions/", "versions"),
    ],
)
def test_endpoints(method: str, path: str, endpoint: str) -> None:
    """Every endpoint of the standard is read, with and without its last slash."""
    asked = read(path, method=method, content_type=taxii.MEDIA)

    assert endpoint == asked.endpoint.value


def test_names_in_paths() -> None:
    """Collection, object and status are taken from the path."""
    asked, of_status = read(f"{BASE}objects/{OBJECT}/versions/"), read(f"/taxii2/api/status/{COLLECTION}/")

    assert (COLLECTION, OBJECT, COLLECTION) == (asked.collection, asked.object_id, of_status.status_id)


@pytest.mark.parametrize(
    "path",
    [
        "/taxii2/other/",
        "/taxii2//",
        "/taxii2/api/collections/A/",
        "/taxii2/api/collections/a/b/",
        "/taxii2/api/collections/../",
        f"{BASE}objects/indicator--1/",
        f"{BASE}objects/{OBJECT}\n/",
        f"{BASE}objects/{OBJECT}/versions/1/",
        "/taxii2/api/status/1/",
        f"/taxii2/api/collections/{'a' * 65}/",
    ],
)
def test_unknown_paths(path: str) -> None:
    """What is no endpoint, or names what cannot exist, is not found."""
    with pytest.raises(NotFound):
        read(path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/taxii2/", "GET, HEAD"),
        ("POST", BASE, "GET, HEAD"),
        ("DELETE", f"{BASE}objects/", "GET, HEAD, POST"),
        ("POST", f"{BASE}objects/{OBJECT}/", "GET, HEAD, DELETE"),
    ],
)
def test_other_methods(method: str, path: str, allowed: str) -> None:
    """Another method is refused with those that are taken."""
    with pytest.raises(MethodNotAllowed) as refusal:
        read(path, method=method)

    answer = taxii.refused(refusal.value)
    assert (405, allowed) == (answer.status, answer.headers["Allow"])


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "application/taxii+json;version=2.1",
        "application/taxii+json; version=2.1",
        'Application/TAXII+JSON ; Version="2.1"',
        "application/taxii+json",
        "application/*",
        "*/*",
        "*/*;q=0.1",
        "application/vnd.oasis.taxii+json; version=2.0, application/taxii+json;version=2.1;q=0.9",
        "application/taxii+json;version=2.0;q=1, application/taxii+json;version=2.1;q=0.5",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "*/*;q=0, application/taxii+json",
    ],
)
def test_accepted(accept: str) -> None:
    """Whoever takes TAXII 2.1, by name or not, with any quality above 0, gets it."""
    assert read("/taxii2/", accept=accept).endpoint is taxii.Endpoint.DISCOVERY


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/taxii+json;version=2.0",
        "application/vnd.oasis.taxii+json; version=2.0",
        "application/taxii+json;version=2.1;q=0, */*",
        "*/*;q=0",
        "*/*;q=0.000",
        "*/*;q=nan",
        "*/*;q=-1",
        "garbage",
        ";;;,,,",
        ",".join(["text/plain"] * ENTRIES_MAX + ["*/*"]),
    ],
)
def test_not_accepted(accept: str) -> None:
    """Whoever takes only something else is told what there is."""
    with pytest.raises(NotAcceptable) as refusal:
        read("/taxii2/", accept=accept)

    assert 406 == taxii.refused(refusal.value).status


@pytest.mark.parametrize("content_type", [None, "application/json", "application/taxii+json;version=2.0", "a, b"])
def test_posted_as_something_else(content_type: str | None) -> None:
    """A post that is not called TAXII 2.1 is refused."""
    headers = {"content-type": content_type} if content_type else {}

    with pytest.raises(UnsupportedMediaType):
        taxii.read("POST", f"{BASE}objects/", "", headers)


def test_posted_without_version() -> None:
    """A post may leave the version away."""
    assert taxii.Endpoint.ADD is read(f"{BASE}objects/", method="POST", content_type="application/taxii+json").endpoint


def test_every_filter() -> None:
    """All filters of the standard are read."""
    query = (
        f"added_after={STAMP}&limit=7&next={write_position(NOW_US + 5)}&match[id]={OBJECT}"
        f"&match%5Btype%5D=indicator,url&match[spec_version]=2.1&match[version]=first,{STAMP}"
    )

    assert taxii.Wanted(
        added_after=NOW_US,
        position=NOW_US + 5,
        limit=7,
        ids=frozenset({OBJECT}),
        types=frozenset({"indicator", "url"}),
        spec_versions=frozenset({"2.1"}),
        keywords=frozenset({"first"}),
        versions=frozenset({NOW_US}),
    ) == (read(f"{BASE}objects/", query).wanted)


def test_no_filter_means_the_last_version() -> None:
    """Without a filter everything is meant, in its newest version."""
    assert read(f"{BASE}manifest/").wanted == taxii.Wanted(keywords=frozenset({"last"}))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (f"{BASE}objects/", query)
        for query in (
            "added_after=yesterday",
            "added_after=2026-11-24",
            "added_after=2026-11-24T00:00:00",
            "added_after=2026-13-24T00:00:00Z",
            "added_after=2026-11-24T00:00:60Z",
            "added_after=2026-11-24T00:00:00.Z",
            "added_after=0000-00-00T00:00:00Z",
            "added_after=0001-01-01T00:00:00%2B10:00",
            "added_after=",
            "limit=0",
            "limit=-1",
            "limit=",
            "limit=1e3",
            "limit=%D9%A1",
            f"limit={'9' * 17}",
            "limit=1&limit=2",
            "next=",
            "next=1",
            "next=%00",
            f"next={write_position(1)}A",
            "match[colour]=red",
            "match[type]=",
            "match[type]=url,",
            "match[type]=URL",
            "match[type]=a&match[type]=b",
            "match[id]=indicator",
            "match[version]=newest",
            "match[version]=",
            "match[spec_version]=two",
            f"match[type]={','.join(f'a{number}' for number in range(VALUES_MAX + 1))}",
            "match=1",
            "offset=3",
            "%ff=1",
            "a",
            "&".join(f"a{number}=1" for number in range(40)),
        )
    ]
    + [
        (f"{BASE}objects/{OBJECT}/", "match[type]=indicator"),
        (f"{BASE}objects/{OBJECT}/versions/", "match[version]=all"),
        ("/taxii2/", "limit=1"),
        ("/taxii2/api/collections/", "match[id]=1"),
    ],
)
def test_filters_that_are_none(path: str, query: str) -> None:
    """A filter that is unknown, given twice, empty or malformed is refused: it must not widen an answer in silence."""
    with pytest.raises(BadRequest):
        read(path, query)


@given(st.integers(0, 2**62 - 1))
def test_positions(place: int) -> None:
    """A position comes back as it was written."""
    assert place == read_position(write_position(place))


@given(st.integers(0, 2**62 - 1), st.data())
def test_other_positions(place: int, data: st.DataObject) -> None:
    """A position with one other character is none."""
    text = write_position(place)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_").filter(lambda each: each != text[at]))

    with pytest.raises(BadRequest):
        read_position(text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    ("text", "wanted_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        (STAMP, NOW_US),
        ("2026-11-23t21:00:00.123456789z", NOW_US),
        ("2026-11-24T05:00:00.123456+08:00", NOW_US),
        ("2026-11-23T21:00:00.1Z", 1_795_467_600_100_000),
        ("1969-12-31T23:59:59.5Z", -500_000),
    ],
)
def test_times(text: str, wanted_us: int) -> None:
    """Times are read to the microsecond, in any zone; finer digits fall away, so that nothing is missed."""
    assert wanted_us == time_us(text)


OLD, NEW = "2026-11-01T00:00:00.000000Z", "2026-11-02T00:00:00.000000Z"
RECORDS = (
    record(1, 10, OLD),
    record(2, 20),
    record(1, 30, NEW),
    record(3, 40, OLD),
    record(2, 50),
)


@pytest.mark.parametrize(
    ("query", "added"),
    [
        ("", [30, 40, 50]),
        ("match[version]=all", [10, 20, 30, 40, 50]),
        ("match[version]=first", [10, 20, 40]),
        ("match[version]=first,last", [10, 20, 30, 40, 50]),
        (f"match[version]={OLD}", [10, 40]),
        (f"match[version]={OLD},last", [10, 30, 40, 50]),
        ("match[version]=1970-01-01T00:00:00.000020Z", [20]),
        ("match[type]=ipv4-addr", [50]),
        ("match[type]=ipv4-addr,indicator&match[version]=all", [10, 20, 30, 40, 50]),
        (f"match[id]={RECORDS[0].id}", [30]),
        (f"match[id]={RECORDS[0].id}&match[type]=ipv4-addr", []),
        ("match[spec_version]=2.0", []),
        ("added_after=1970-01-01T00:00:00.000030Z", [40, 50]),
        (f"next={write_position(40)}", [50]),
        (f"next={write_position(40)}&added_after=1970-01-01T00:00:00.000010Z", [50]),
        ("limit=2", [30, 40]),
    ],
)
def test_chosen(query: str, added: list[int]) -> None:
    """Filters of several members narrow each other, values of one widen it; versions count within what is left."""
    found, _ = read(f"{BASE}objects/", query).wanted.chosen(RECORDS, 100)

    assert added == [each.added_us for each in found]


def test_limits() -> None:
    """A limit above what a page may have is answered with that, and more is promised only where there is more."""
    wanted = read(f"{BASE}objects/", "limit=1000000&match[version]=all").wanted

    assert [(4, True), (5, False)] == [
        (len(found), more) for found, more in (wanted.chosen(RECORDS, n) for n in (4, 5))
    ]


def body(answer: taxii.Answer) -> Any:
    """Return what an answer says."""
    return json.loads(answer.body)


def test_envelope() -> None:
    """Objects leave as they were stored, with the dates of the first and the last, and where to go on."""
    answer = taxii.page(read(f"{BASE}objects/"), RECORDS[:2], is_more=True)

    assert {
        "more": True,
        "next": write_position(20),
        "objects": [{"id": RECORDS[0].id}, {"id": RECORDS[1].id}],
    } == body(answer)
    assert {
        "Content-Type": "application/taxii+json;version=2.1",
        "Cache-Control": "private, no-cache",
        "X-TAXII-Date-Added-First": "1970-01-01T00:00:00.000010Z",
        "X-TAXII-Date-Added-Last": "1970-01-01T00:00:00.000020Z",
    } == answer.headers


def test_last_page() -> None:
    """The last page says so and leads nowhere."""
    assert {"more": False, "objects": [{"id": RECORDS[0].id}]} == body(
        taxii.page(read(f"{BASE}objects/"), RECORDS[:1], is_more=False)
    )


def test_manifest() -> None:
    """A manifest has the version of what has versions, and of an observable when it was added."""
    found = body(taxii.page(read(f"{BASE}manifest/"), RECORDS[:2], is_more=False))["objects"]

    media, times = "application/stix+json;version=2.1", [f"1970-01-01T00:00:00.0000{n}Z" for n in (10, 20)]
    assert [
        {"id": RECORDS[0].id, "date_added": times[0], "version": OLD, "media_type": media},
        {"id": RECORDS[1].id, "date_added": times[1], "version": times[1], "media_type": media},
    ] == found


def test_versions() -> None:
    """Versions are times, with pages as everywhere."""
    found = body(taxii.page(read(f"{BASE}objects/{OBJECT}/versions/"), RECORDS[:2], is_more=True))

    assert {"more": True, "next": write_position(20), "versions": [OLD, "1970-01-01T00:00:00.000020Z"]} == found


def test_nothing() -> None:
    """A page of nothing is empty and has no dates."""
    answer = taxii.page(read(f"{BASE}objects/"), (), is_more=False)

    assert ({}, False) == (body(answer), "X-TAXII-Date-Added-First" in answer.headers)


@pytest.mark.parametrize("path", [f"{BASE}objects/{OBJECT}/", f"{BASE}objects/{OBJECT}/versions/"])
def test_no_such_object(path: str) -> None:
    """An object of which there is nothing is not found."""
    with pytest.raises(NotFound):
        taxii.page(read(path), (), is_more=False)


def test_server_information() -> None:
    """Discovery leads to the API root, which says what it speaks and how much it takes."""
    found = body(taxii.discovery(title="A", description="B", url="https://hub.example", contact="C"))
    root = body(taxii.api_root(title="A", description="B", content_bytes_max=9))

    url = "https://hub.example/taxii2/api/"
    assert {"title": "A", "description": "B", "default": url, "api_roots": [url], "contact": "C"} == found
    assert {"title": "A", "description": "B", "versions": [taxii.MEDIA], "max_content_length": 9} == root


def test_collections() -> None:
    """A collection is listed as it is shown alone; nobody's list is empty."""
    one = taxii.Collection(taxii.collection_id("hub", "all"), "all", "Everything", "All of it.")

    assert {
        "id": one.id,
        "title": "Everything",
        "description": "All of it.",
        "alias": "all",
        "can_read": True,
        "can_write": False,
        "media_types": ["application/stix+json;version=2.1"],
    } == body(taxii.collection(one))
    assert ({"collections": [body(taxii.collection(one))]}, {}) == (
        body(taxii.collections([one])),
        body(taxii.collections([])),
    )


def test_collection_ids() -> None:
    """Ids of collections are UUIDs of version 4 in form, the same each time, others on another server."""
    ids = [taxii.collection_id(*each) for each in (("hub", "all"), ("hub", "all"), ("other", "all"), ("hub", "cyber"))]

    assert ([4] * 4, 3) == ([UUID(each).version for each in ids], len({*ids}))


def test_status() -> None:
    """A status counts what became of each object."""
    outcomes = [taxii.Outcome(OBJECT, STAMP), taxii.Outcome(OBJECT, STAMP, "It has no pattern.")]
    answer = taxii.status(taxii.Status(COLLECTION, NOW_US, outcomes[:1], outcomes[1:]))

    assert (202, "application/taxii+json;version=2.1") == (answer.status, answer.headers["Content-Type"])
    assert {
        "id": COLLECTION,
        "status": "complete",
        "request_timestamp": STAMP,
        "total_count": 2,
        "success_count": 1,
        "successes": [{"id": OBJECT, "version": STAMP}],
        "failure_count": 1,
        "failures": [{"id": OBJECT, "version": STAMP, "message": "It has no pattern."}],
        "pending_count": 0,
    } == body(answer)


def test_status_pending() -> None:
    """A post is pending while one of its objects is."""
    found = body(taxii.status(taxii.Status(COLLECTION, NOW_US, pendings=[taxii.Outcome(OBJECT, STAMP)])))

    assert ("pending", 1, [{"id": OBJECT, "version": STAMP}]) == (
        found["status"],
        found["pending_count"],
        found["pendings"],
    )


@pytest.mark.parametrize(
    ("error", "members", "further"),
    [
        (NotFound(), {"http_status": "404", "error_code": "not-found"}, {}),
        (NotAllowed("No."), {"http_status": "403", "description": "No."}, {}),
        (BadRequest("No.", member="limit"), {"http_status": "400", "details": {"parameter": "limit"}}, {}),
        (
            Unauthorized(),
            {"http_status": "401"},
            {"WWW-Authenticate": 'Basic realm="lintas", charset="UTF-8", Bearer'},
        ),
        (RateLimited(retry_after=7), {"http_status": "429"}, {"Retry-After": "7"}),
        (LogHalted("Secret."), {"http_status": "500", "error_code": "internal-error"}, {}),
    ],
)
def test_errors(error: Refusal, members: dict[str, Any], further: dict[str, str]) -> None:
    """Every error is an error message of TAXII; one that is ours says nothing of what broke."""
    answer = taxii.refused(error)

    found = body(answer)
    assert members.items() <= found.items()
    assert (members["http_status"], taxii.MEDIA) == (str(answer.status), answer.headers["Content-Type"])
    assert further.items() <= answer.headers.items()
    assert (bool(found["title"]), "Secret." not in answer.body.decode()) == (True, True)


def test_posted_objects() -> None:
    """Objects of an envelope come with their versions."""
    members = [
        {"type": "indicator", "id": OBJECT, "created": OLD, "modified": NEW, "x_weight": 0.5},
        {"type": "marking-definition", "id": "marking-definition--1", "created": OLD},
        {"type": "url", "id": "url--1"},
    ]

    found = taxii.read_envelope(json.dumps({"objects": members}).encode())
    assert [(OBJECT, NEW), ("marking-definition--1", OLD), ("url--1", None)] == [(e.id, e.version) for e in found]
    assert members == [each.members for each in found]


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"[]",
        b"{}",
        b'{"objects":[]}',
        b'{"objects":{}}',
        b'{"objects":[1]}',
        b'{"objects":[{"type":"url"}]}',
        b'{"objects":[{"type":"url","id":"ip--1"}]}',
        b'{"objects":[{"type":"url","id":"url--1","modified":1}]}',
        b'{"objects":[{"type":"url","id":"url--1"},{"type":"url","id":"url--1"}]}',
        b'{"objects":[{"type":"url","type":"url","id":"url--1"}]}',
        b'{"objects":[{"type":"url","id":"url--\xff"}]}',
        b'{"objects":' + b"[" * 1_000 + b"]" * 1_000 + b"}",
        json.dumps({"objects": [{"type": "a", "id": f"a--{n}"} for n in range(OBJECTS_MAX + 1)]}).encode(),
    ],
)
def test_envelopes_that_are_none(envelope: bytes) -> None:
    """What is no envelope of objects, each once, is refused as a whole."""
    with pytest.raises(BadRequest):
        taxii.read_envelope(envelope)
