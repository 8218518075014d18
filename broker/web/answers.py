"""An example of what each operation answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from broker.web.http import JSON_MEDIA, LINES_MEDIA

EXAMPLE_ID = "dGhpcyBpcyBhbiBleGFtcGxlIGlkIG9mIDMyIGJ5dGU"
LINE = "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoi...fQ.eyJ0aXRsZSI6Ii4uLiJ9.c2lnbmF0dXJl..."
RECEIPT = "c2sp.org/tlog-proof@v1\nextra eyJ2IjoxLC4uLn0=\nindex 12\n\nlintas.example-k3v9q2xa/log/1\n13\n...\n"
ROW = '{"seq":12,"line":"eyJhbGciOi..."}\n{"seq":15,"id":"' + EXAMPLE_ID + '","state":"recalled"}\n'
EVENTS = 'id: 12\nevent: bulletin\ndata: {"seq":12,"line":"eyJhbGciOi..."}\n\n:\n\n'

_JSON = JSON_MEDIA
PLAIN = "text/plain"
_OCTETS = "application/octet-stream"
_TIME = "2026-11-24T03:00:00.000000Z"
_CHECKPOINT = "lintas.example-k3v9q2xa/log/1\n13\n...\n"
COSIGNED = _CHECKPOINT + "\n\u2014 lintas.example-k3v9q2xa/witness/my-police XR48eg...\n"
_EXAMPLE_PARTNER = {"id": "my-police", "name": "...", "country": "MY", "state": "active", "joined_seq": 9}
_EXAMPLE_GRANT = {"publish": ["cyber"], "read": ["*"], "ceiling": "AMBER"}
_EXAMPLE_KEY = {
    "kty": "OKP",
    "crv": "Ed25519",
    "x": "...",
    "kid": EXAMPLE_ID,
    "use": "sig",
    "alg": "Ed25519",
    "party": "my-police",
    "holder": "duty desk",
    "state": "active",
    "not_before": _TIME,
    "not_after": _TIME,
    "seq": 7,
}
_EXAMPLE_OPENING = {
    "agency": "my-police",
    "kid": EXAMPLE_ID,
    "public": "...",
    "not_after": _TIME,
    "by": EXAMPLE_ID,
    "seq": 8,
}
_EXAMPLE_EVENT = {
    "seq": 12,
    "time": _TIME,
    "kind": "bulletin.accepted",
    "outcome": "accepted",
    "party": "my-police",
    "party_seq": 3,
    "object": EXAMPLE_ID,
    "detail": {"kind": "alert"},
}
_EXAMPLE_ORDER = {
    "id": EXAMPLE_ID,
    "act": "ceiling",
    "agency": "my-police",
    "needs": "second",
    "at": _TIME,
    "line": LINE,
}
_EXAMPLE_WEBHOOK = {
    "subscription": "feed",
    "host": "receiver.example",
    "state": "active",
    "tries": 1,
    "since": _TIME,
    "next_at": _TIME,
    "code": "not-delivered",
    "pending": 2,
}
_EXAMPLE_READ_TOKEN = {
    "token": "k3v5q2xatz7m",
    "label": "MISP of the fusion desk",
    "state": "active",
    "ceiling": "AMBER",
    "areas": ["cyber", "maritime"],
    "until": "2027-02-22T03:00:00.000000Z",
    "addresses": ["203.0.113.0/24"],
    "by": EXAMPLE_ID,
    "seq": 31,
}
EXAMPLE_UUID = "9f0c2a7e-5d0b-5e1c-8a63-2f1f0c1d9b11"
_EXAMPLE_LISTED = {
    "Orgc": {"name": "my-police", "uuid": EXAMPLE_UUID},
    "Tag": [{"name": "tlp:amber", "colour": "#ffc000"}],
    "info": "alert of my-police, cyber.scam",
    "date": "2026-11-24",
    "analysis": "2",
    "threat_level_id": "4",
    "timestamp": "1795489200",
}
_EXAMPLE_POSTED = {"id": EXAMPLE_ID, "seq": 12, "events": ["key.enrolled"], "needs_second": False, "receipt": RECEIPT}
_EXAMPLE_PROVEN = {"seq": 7, "body": '{"v":1,"kind":"key.approved","...":"..."}', "line": LINE, "proof": ["..."]}
_EXAMPLE_SUBSCRIPTION = {"name": "scams", "filter": {"topic": ["cyber.scam"]}, "cursor": 12}
_EXAMPLE_STEP = {"seq": 12, "time": _TIME}
_EXAMPLE_READER = {
    "agency": "sg-fiu",
    "state": "released",
    "released": _EXAMPLE_STEP,
    "sent": {"seq": 15, "time": _TIME, "ways": ["feed", "fetch"]},
    "received": {"seq": 16, "time": _TIME},
    "opened": {"seq": 18, "time": _TIME, "line": LINE},
}
_EXAMPLE_OPEN = {
    "id": EXAMPLE_ID,
    "seq": 12,
    "kind": "rfi",
    "topic": "cyber.scam",
    "urgency": "urgent",
    "tlp": "AMBER",
    "accepted": _TIME,
}
_EXAMPLE_DUTY = {"sent": _TIME, "due": _TIME, "overdue": False}
_EXAMPLE_DUE = {
    "to_acknowledge": [],
    "to_answer": [_EXAMPLE_OPEN | {"issuer": "my-police"} | _EXAMPLE_DUTY],
    "waiting_for_answer": [_EXAMPLE_OPEN | {"agencies": [{"agency": "sg-fiu", "state": "open"} | _EXAMPLE_DUTY]}],
    "waiting_for_acknowledgement": [],
    "next": None,
    "time": _TIME,
}
_EXAMPLE_OVERDUE = {
    "id": EXAMPLE_ID,
    "seq": 12,
    "kind": "recall",
    "issuer": "my-police",
    "urgency": "urgent",
    "agency": "sg-fiu",
    "sent": _TIME,
    "due": _TIME,
}
_EXAMPLE_INTEREST = {
    "id": EXAMPLE_ID,
    "mode": "contact",
    "case_ref": "SIM-26-7",
    "at": _TIME,
    "until": "2027-02-22T03:00:00.000000Z",
    "count": 2,
    "checked": 31,
    "told": [{"place": 1, "agency": "sg-fiu", "mode": "contact"}],
}
ANSWERS: dict[tuple[str, str], tuple[str, Any]] = {
    ("get", "/healthz"): (_JSON, {"status": "ok"}),
    ("get", "/readyz"): (_JSON, {"status": "ready", "size": 13}),
    ("get", "/.well-known/lintas"): (
        _JSON,
        {
            "name": "lintas.example-k3v9q2xa",
            "origin": "lintas.example-k3v9q2xa/log/1",
            "log_key": "...",
            "webhook_key": "whpk_...",
            "limits": {"page_max": 1_000},
            "time": _TIME,
            "simulated": True,
        },
    ),
    ("get", "/v1/partners"): (_JSON, {"partners": [_EXAMPLE_PARTNER]}),
    ("get", "/v1/communities"): (_JSON, {"communities": {"fiu-net": ["id-fiu", "my-fiu", "sg-fiu"]}}),
    ("get", "/v1/keys"): (
        _JSON,
        {
            "keys": [_EXAMPLE_KEY],
            "opening": [_EXAMPLE_OPENING],
            "events": [_EXAMPLE_PROVEN],
            "checkpoint": _CHECKPOINT,
        },
    ),
    ("post", "/v1/keys"): (_JSON, _EXAMPLE_POSTED),
    ("post", "/v1/orders"): (_JSON, _EXAMPLE_POSTED | {"events": ["grant.changed", "order.accepted"]}),
    ("post", "/v1/bulletins/{id}/ack"): (
        _JSON,
        {"id": EXAMPLE_ID, "state": "opened", "seq": 18, "receipt": RECEIPT},
    ),
    ("get", "/v1/bulletins/{id}/readers"): (
        _JSON,
        {"id": EXAMPLE_ID, "seq": 11, "readers": [_EXAMPLE_READER, {"agency": "th-cert", "state": "not-entitled"}]},
    ),
    ("get", "/v1/subscriptions"): (_JSON, {"subscriptions": [_EXAMPLE_SUBSCRIPTION]}),
    ("get", "/v1/subscriptions/{name}"): (_JSON, _EXAMPLE_SUBSCRIPTION),
    ("put", "/v1/subscriptions/{name}"): (_JSON, _EXAMPLE_SUBSCRIPTION),
    ("delete", "/v1/subscriptions/{name}"): (_JSON, _EXAMPLE_SUBSCRIPTION),
    ("get", "/v1/subscriptions/{name}/bulletins"): (LINES_MEDIA, ROW),
    ("post", "/v1/subscriptions/{name}/cursor"): (_JSON, _EXAMPLE_SUBSCRIPTION),
    ("get", "/v1/interests"): (_JSON, {"interests": [_EXAMPLE_INTEREST]}),
    ("get", "/v1/interests/{id}"): (_JSON, _EXAMPLE_INTEREST),
    ("get", "/v1/watches"): (_JSON, {"watches": [{"name": "case-26-7", "count": 2}]}),
    ("get", "/v1/watches/{name}/bulletins"): (LINES_MEDIA, ROW),
    ("get", "/v1/webhooks"): (_JSON, {"webhooks": [_EXAMPLE_WEBHOOK]}),
    ("get", "/misp/manifest.json"): (_JSON, {EXAMPLE_UUID: _EXAMPLE_LISTED}),
    ("get", "/misp/hashes.csv"): ("text/csv", f"5d41402abc4b2a76b9719d911017c592,{EXAMPLE_UUID}\n"),
    ("get", "/misp/{uuid}.json"): (_JSON, {"Event": {"uuid": EXAMPLE_UUID, "info": "...", "Attribute": []}}),
    ("get", "/v1/read-tokens"): (_JSON, {"read_tokens": [_EXAMPLE_READ_TOKEN]}),
    ("post", "/v1/console/links"): (
        _JSON,
        {"path": f"/console/sign-in/{EXAMPLE_ID}", "role": "officer", "until": _TIME},
    ),
    ("get", "/v1/log/checkpoint"): (PLAIN, _CHECKPOINT),
    ("get", "/v1/log/key"): (PLAIN, "lintas.example-k3v9q2xa/log/1+1b2c3d4e+AQ...\n"),
    ("get", "/v1/log/key/{key_id}"): (PLAIN, RECEIPT),
    ("get", "/v1/log/policy"): (PLAIN, "log ...\nwitness my-police ...\nquorum my-police\n"),
    ("post", "/v1/log/cosignatures"): (_JSON, {"size": 13, "new": 1, "witnessed": True}),
    ("get", "/v1/log/tile/{path}"): (_OCTETS, "32 bytes a hash"),
    ("get", "/v1/log/proof/{seq}"): (PLAIN, "c2sp.org/tlog-proof@v1\nindex 12\n\n" + _CHECKPOINT),
    ("get", "/v1/log/witness"): (PLAIN, "old 9\n...\n\n" + _CHECKPOINT),
    ("get", "/v1/log/events"): (
        LINES_MEDIA,
        (
            '{"seq":7,"body":"{...}","proof":["..."]}\n'
            '{"seq":8,"party":"sg-fiu","party_seq":2,"entry":"...","body":null,"proof":["..."]}\n{"checkpoint":"..."}\n'
        ),
    ),
    ("get", "/v1/admin/events"): (_JSON, {"events": [_EXAMPLE_EVENT], "next": None, "checkpoint": _CHECKPOINT}),
    ("get", "/v1/admin/partners"): (_JSON, {"partners": [_EXAMPLE_PARTNER | _EXAMPLE_GRANT]}),
    ("get", "/v1/admin/keys"): (_JSON, {"keys": [_EXAMPLE_KEY | {"state": "pending"}]}),
    ("get", "/v1/admin/grants"): (_JSON, {"grants": {"my-police": _EXAMPLE_GRANT}}),
    ("get", "/v1/admin/orders"): (_JSON, {"orders": [_EXAMPLE_ORDER]}),
    ("get", "/v1/due"): (_JSON, _EXAMPLE_DUE),
    ("get", "/v1/admin/due"): (_JSON, {"overdue": [_EXAMPLE_OVERDUE], "next": None}),
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
