"""A whole gateway beside a real hub."""

from __future__ import annotations

import hashlib
from typing import Any

import pymisp
import pytest

from clients.gateway.place import Place, beside
from clients.gateway.process import Gateway
from clients.gateway.rules import Rules
from lintas.errors import BadSettings, Evidence, InconsistentLog, NotFound, ReadOnly
from lintas.keys import fresh_opening
from lintas.stix.fixed import TLP_MARKINGS
from tests.gateways import OTHER, PARTY, Beside, alert, domain

RED = {"named_recipients": ["sg-fiu/duty"], "marking_reason": "Fictional.", "summary": "Fictional: a hidden thing."}
DRAFT = {"tlp": "AMBER", "payload": {"title": "Fictional: posted", "summary": "Simulated."}}
OBJECTS = {
    "objects": [
        {
            "type": "domain-name",
            "id": "domain-name--11111111-1111-4111-8111-111111111111",
            "value": "lotus-loan.example",
        },
        {"type": "malware", "id": "malware--11111111-1111-4111-8111-111111111112", "name": "FicRAT"},
    ]
}
ADD = "/taxii2/api/collections/publish/objects/"


def received_by(found: Beside, party: str = "id-police") -> list[str]:
    """Return the titles that an agency finds in its feed."""
    return [each.content.title for each in found.hub.client(party).follow(once=True) if each.content is not None]


def test_recall_between_polls(beside_hub: Beside) -> None:
    """A bulletin comes out with its marking; recalled, its objects come again as revoked, for who polls from there."""
    beside_hub.start()
    published = beside_hub.publish(alert("Fictional: one", indicators=[domain("lotus-loan.example")]))
    first = beside_hub.ask("GET", "/taxii2/api/collections/received/objects/")
    before = {each["type"]: each for each in first.json()["objects"]}
    payload = {"title": "Recall", "summary": "Wrong.", "reason": "inaccurate"}
    beside_hub.publish(alert("", kind="recall", refs=[f"recalls:{published.id}"], payload=payload))
    last = first.headers["X-TAXII-Date-Added-Last"]
    after = beside_hub.get(f"/taxii2/api/collections/received/objects/?added_after={last}")["objects"]

    assert [TLP_MARKINGS["AMBER"]] == before["report"]["object_marking_refs"]
    assert [True, True] == [each["revoked"] for each in after if each["type"] in ("indicator", "report")]
    assert "recalled" == beside_hub.get(f"/v1/bulletins/{published.id}")["state"]


@pytest.mark.parametrize("red", [False, True])
def test_sealed_bulletin(beside_hub: Beside, *, red: bool) -> None:
    """What is sealed to the agency is opened and served; RED only where that was asked for, and marked so."""
    beside_hub.start(serves_red=red)
    clear = beside_hub.publish(alert("Fictional: sealed", seal=True))
    hidden = beside_hub.publish(alert("Fictional: red", tlp="RED", payload=RED))

    reports = {each["name"]: each for each in beside_hub.objects().values() if each["type"] == "report"}
    told = beside_hub.get(f"/v1/bulletins/{hidden.id}")
    assert ["Fictional: sealed", *["Fictional: red"] * red] == list(reports)
    assert [[TLP_MARKINGS["RED"]]] * red == [reports[name]["object_marking_refs"] for name in reports if "red" in name]
    assert (None if red else "red", red, "RED") == (told["withheld"], told["payload"] is not None, told["tlp"])
    assert "Fictional: sealed" == beside_hub.get(f"/v1/bulletins/{clear.id}")["payload"]["title"]
    kept = beside_hub.identity.parent.glob(f"{beside(beside_hub.identity, '').name}*")
    assert red == any(b"hidden thing" in path.read_bytes() for path in kept)


def test_bulletins_as_json(beside_hub: Beside) -> None:
    """A script gets verified bulletins after a number, waits for the next, and acknowledges them."""
    beside_hub.start()
    published = beside_hub.publish(alert("Fictional: one"))
    page = beside_hub.get("/v1/bulletins")
    empty = beside_hub.get(f"/v1/bulletins?after={page['next']}", Prefer="wait=1")
    (row,) = [each for each in page["bulletins"] if each["id"] == published.id]
    noted = beside_hub.ask("POST", f"/v1/bulletins/{published.id}/ack", Prefer="wait=10")

    assert ([], page["next"]) == (empty["bulletins"], empty["next"])
    assert (True, OTHER, "Fictional: one", None) == (
        row["verified"],
        row["issuer"],
        row["payload"]["title"],
        row["acknowledged"],
    )
    assert (200, "acknowledged") == (noted.status_code, noted.json()["acknowledged"])
    readers = beside_hub.hub.client(OTHER).readers(published.id)
    assert ["acknowledged"] == [each.progress for each in readers if each.agency == PARTY]


def test_feed_of_misp(beside_hub: Beside) -> None:
    """MISP finds an event in the manifest, its values in the hashes, and fetches it."""
    beside_hub.start()
    beside_hub.publish(alert("Fictional: one", indicators=[domain("lotus-loan.example")]))
    manifest = beside_hub.get("/misp/manifest.json")
    (uuid,) = manifest
    event = pymisp.MISPEvent()
    event.from_dict(**beside_hub.get(f"/misp/{uuid}.json"))
    hashes = beside_hub.ask("GET", "/misp/hashes.csv").text

    assert ("Fictional: one", "Fictional: one") == (manifest[uuid]["info"], event.info)
    assert f"{hashlib.md5(b'lotus-loan.example').hexdigest()},{uuid}\n" in hashes
    refused = [("GET", f"/misp/{uuid[::-1]}.json"), ("GET", "/misp/"), ("POST", "/misp/manifest.json")]
    assert [404, 404, 405] == [beside_hub.ask(*each).status_code for each in refused]


def test_person_data_needs_a_purpose(beside_hub: Beside) -> None:
    """Without a purpose a bulletin with person data is told of, and not given."""
    beside_hub.start(purpose=False)
    phone = {"type": "phone", "value": "+6591234567", "role": "caller"}
    published = beside_hub.publish(alert("Fictional: a caller", indicators=[phone]))

    told = beside_hub.get(f"/v1/bulletins/{published.id}")
    assert ("purpose-needed", None, None) == (told["withheld"], told["payload"], told["line"])
    assert {} == beside_hub.objects()


def test_draft_is_published(beside_hub: Beside) -> None:
    """A script that posts a draft and waits is told under which id it was published; again, it is the same."""
    beside_hub.start(publishes=True)
    answers = [beside_hub.ask("POST", "/v1/postings", DRAFT, Prefer="wait=10") for _ in range(2)]

    first, second = (each.json() for each in answers)
    assert ([200, 200], first) == ([each.status_code for each in answers], second)
    assert ["published"] == [each["state"] for each in first["bulletins"]]
    assert ["Fictional: posted"] == received_by(beside_hub)


def test_posted_objects(beside_hub: Beside) -> None:
    """Objects posted by TAXII wait, are published once approved, and their status says so one by one; twice is once."""
    beside_hub.start()
    posted = beside_hub.ask("POST", ADD, OBJECTS)
    again = beside_hub.ask("POST", ADD, {"objects": OBJECTS["objects"][::-1]}).json()
    beside_hub.approve_all()
    path = f"/taxii2/api/status/{posted.json()['id']}/"
    beside_hub.until(lambda: beside_hub.ask("GET", path).json()["status"] == "complete")
    status = beside_hub.ask("GET", path).json()

    before = posted.json()
    assert (202, "pending", 1, 1) == (
        posted.status_code,
        before["status"],
        before["pending_count"],
        before["failure_count"],
    )
    assert before["id"] == again["id"]
    assert (1, 1) == (status["success_count"], status["failure_count"])
    assert "malware has no place" in status["failures"][0]["message"]
    assert ["FicRAT"] == received_by(beside_hub)


def test_bundle_of_another_media_type(beside_hub: Beside) -> None:
    """A bundle that is called STIX instead of TAXII is taken: a connector of OpenCTI posts that."""
    beside_hub.start()
    bundle = OBJECTS | {"type": "bundle", "id": "bundle--1"}
    answer = beside_hub.ask("POST", ADD, bundle, **{"Content-Type": "application/stix+json; version=2.1"})

    assert (202, 1) == (answer.status_code, answer.json()["pending_count"])


def test_wider_than_marked(beside_hub: Beside) -> None:
    """Objects that are marked narrower than the gateway publishes are refused, each with the reason."""
    beside_hub.start(publishes=True)
    marked = [{**each, "object_marking_refs": [TLP_MARKINGS["RED"]]} for each in OBJECTS["objects"]]
    status = beside_hub.ask("POST", ADD, {"objects": marked}).json()

    assert ("complete", 2) == (status["status"], status["failure_count"])
    assert "cannot be passed on more widely" in status["failures"][0]["message"]


def test_unmarked_is_held(beside_hub: Beside) -> None:
    """A gateway that publishes holds what has no marking of its own."""
    beside_hub.start(publishes=True)
    unmarked = {"payload": DRAFT["payload"]}

    assert ["held", "held"] == [
        beside_hub.ask("POST", "/v1/postings", each).json()["state"]
        for each in (unmarked, {"type": "bundle", **OBJECTS})
    ]


def test_refused_by_the_hub(beside_hub: Beside) -> None:
    """What the hub refuses is told in its words, and does not stop what comes after."""
    beside_hub.start(publishes=True)
    wrong = DRAFT | {"refs": [f"comments:{'A' * 43}"], "kind": "comment"}
    refused = beside_hub.ask("POST", "/v1/postings", wrong, Prefer="wait=10")
    accepted = beside_hub.ask("POST", "/v1/postings", DRAFT, Prefer="wait=10")

    assert (422, 200) == (refused.status_code, accepted.status_code)
    assert "ref-unavailable" in refused.json()["bulletins"][0]["problem"]


def test_unknown_recipient(beside_hub: Beside) -> None:
    """What cannot be signed is refused with the reason."""
    beside_hub.start(publishes=True)
    refused = beside_hub.ask("POST", "/v1/postings", DRAFT | {"release_to": ["xx-police"]}, Prefer="wait=10")

    assert (422, True) == (refused.status_code, "unknown-recipient" in refused.json()["bulletins"][0]["problem"])


def test_spool_and_restart(beside_hub: Beside) -> None:
    """What is taken from the spool is published by the gateway that runs when it is approved."""
    beside_hub.start()
    beside_hub.drop("report.json", DRAFT)
    beside_hub.until((beside_hub.spool / "taken/1-report.json").exists)
    beside_hub.stop()
    beside_hub.start()
    beside_hub.approve_all()
    beside_hub.until((beside_hub.spool / "done/1-report.json").exists)

    assert ["Fictional: posted"] == received_by(beside_hub)


def test_outage(beside_hub: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the hub is away postings are taken and its state is told; when it is back, each is published once."""
    monkeypatch.setattr("lintas.client.PAUSES_S", (0.05, None))
    beside_hub.start(publishes=True)
    with beside_hub.outage():
        posted = beside_hub.ask("POST", "/v1/postings", DRAFT).json()
        beside_hub.until(lambda: "send" in beside_hub.get("/v1/status")["trouble"])
        waiting = beside_hub.get(f"/v1/postings/{posted['posting']}")["state"]
    done = beside_hub.get(f"/v1/postings/{posted['posting']}", Prefer="wait=20")

    assert ("waiting", "published") == (waiting, done["state"])
    assert ["Fictional: posted"] == received_by(beside_hub)


def test_refused_for_now(beside_hub: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that may pass is told with the draft, which waits, and is published when the hub takes it."""
    monkeypatch.setattr("lintas.client.PAUSES_S", (0.05, None))
    beside_hub.start(publishes=True)
    number = beside_hub.ask("POST", "/v1/postings", DRAFT, Prefer="wait=10").json()["posting"]
    with beside_hub.outage(ReadOnly()):
        posted = beside_hub.ask("POST", "/v1/postings", {**DRAFT, "kind": "alert"}).json()
        beside_hub.until(lambda: "read-only" in beside_hub.get("/v1/status")["trouble"].values())
        waiting = beside_hub.get(f"/v1/postings/{posted['posting']}")["state"]
    done = beside_hub.get(f"/v1/postings/{posted['posting']}", Prefer="respond-async, wait=20")

    assert ("waiting", "published", number + 1) == (waiting, done["state"], posted["posting"])


def test_acknowledging_what_is_gone(beside_hub: Beside, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement that the hub refuses for good is told with the reason; one that it refuses for now waits."""
    monkeypatch.setattr("lintas.client.PAUSES_S", (0.05, None))
    beside_hub.start()
    published = beside_hub.publish(alert("Fictional: one"))
    path, told = f"/v1/bulletins/{published.id}/ack", []
    for problem in (ReadOnly(), NotFound()):
        with beside_hub.outage(problem):
            told.append(beside_hub.ask("POST", path, Prefer="wait=2").json())

    assert ["asked", "refused"] == [each["acknowledged"] for each in told]
    assert told[1]["problem"].startswith("not-found: ")


def test_odd_questions(beside_hub: Beside) -> None:
    """What is asked wrongly is refused, by its parameter where there is one."""
    beside_hub.start()
    asked = {
        "/v1/bulletins?limit=0": (400, "limit"),
        "/v1/bulletins?limit=501": (400, "limit"),
        "/v1/bulletins?after=-1": (400, "after"),
        "/v1/bulletins?after=1&after=2": (400, "after"),
        "/v1/bulletins?topic=cyber": (400, "topic"),
        "/v1/bulletins?after": (400, None),
        "/v1/status?x=1": (400, "x"),
        f"/v1/bulletins/{'A' * 43}": (404, None),
        "/v1/postings/7": (404, None),
        "/v1/nothing": (404, None),
        "/elsewhere": (404, None),
        f"/v1/bulletins/{'A' * 43}/ack": (405, None),
    }
    found = {path: beside_hub.ask("GET", path) for path in asked}

    assert asked == {path: (each.status_code, each.json().get("member")) for path, each in found.items()}
    assert {"application/problem+json"} == {each.headers["content-type"] for each in found.values()}
    assert 400 == beside_hub.ask("POST", "/v1/postings", b"{").status_code
    assert [] == beside_hub.get("/v1/postings")["postings"]


def test_key_that_somebody_else_made(beside_hub: Beside) -> None:
    """An alarm of the client is reported once and stands in the status."""
    beside_hub.start()
    beside_hub.until(lambda: beside_hub.gateway is not None and beside_hub.gateway._follower._has_begun)
    with beside_hub.open() as thief:
        thief.renew_opening(fresh_opening())
    beside_hub.publish(alert("Fictional: one"))

    beside_hub.until(lambda: beside_hub.get("/v1/status")["alarms"] != [])
    assert 1 == sum(each.startswith("ALARM An opening key of sg-fiu") for each in beside_hub.told)


def test_second_gateway(beside_hub: Beside) -> None:
    """Two gateways of one identity do not run at a time."""
    beside_hub.start()

    with pytest.raises(BadSettings, match="Another gateway"):
        Gateway(
            Place(identity=beside_hub.identity, port=0),
            Rules(),
            (beside_hub.open(), beside_hub.open()),
            report=beside_hub.told.append,
        )


def test_new_file_is_filled(beside_hub: Beside) -> None:
    """A gateway that lost its file takes everything over again."""
    beside_hub.start()
    published = beside_hub.publish(alert("Fictional: one"))
    beside_hub.stop()
    for path in beside_hub.identity.parent.glob(f"{beside(beside_hub.identity, '').name}*"):
        path.unlink()
    beside_hub.start()

    beside_hub.until(lambda: beside_hub.ask("GET", f"/v1/bulletins/{published.id}").status_code == 200)
    assert ["Fictional: one"] == [each["name"] for each in beside_hub.objects().values() if each["type"] == "report"]


def test_officer_takes_nothing_away(beside_hub: Beside) -> None:
    """What an officer's command has shown comes to the gateway all the same."""
    with beside_hub.open() as officer:
        published = beside_hub.hub.client(OTHER).publish(alert("Fictional: one"))
        list(officer.follow(once=True))
    beside_hub.start()

    beside_hub.until(lambda: beside_hub.ask("GET", f"/v1/bulletins/{published.id}").status_code == 200)
    assert beside_hub.get("/v1/status")["bulletins"]["served"] >= 1


def test_subscription_is_made_anew(beside_hub: Beside) -> None:
    """A subscription that somebody ended is made anew, and nothing is missed."""
    beside_hub.start()
    beside_hub.publish(alert("Fictional: one"))
    with beside_hub.open() as officer:
        officer.unsubscribe("gateway")
    beside_hub.publish(alert("Fictional: two"))

    assert {"served": 2} == beside_hub.get("/v1/status")["bulletins"]


def test_evidence_ends_it(beside_hub: Beside) -> None:
    """When the hub's evidence does not hold, the gateway ends with what was wrong."""
    beside_hub.start()
    assert beside_hub.gateway is not None
    fault: Evidence = InconsistentLog("The log was rewritten.")

    def lie(_wait_s: int) -> bool:
        raise fault

    vars(beside_hub.gateway._follower)["step"] = lie

    with pytest.raises(InconsistentLog, match="rewritten"):
        beside_hub.gateway.wait()


def test_reports_no_content(beside_hub: Beside) -> None:
    """What it reports has numbers, ids and states, no words of what was posted."""
    beside_hub.start(publishes=True)
    beside_hub.ask("POST", "/v1/postings", DRAFT, Prefer="wait=10")
    said: Any = "\n".join(beside_hub.told)

    assert ("posting 1 by http: waiting, 1 drafts" in said, "draft 1: published as" in said) == (True, True)
    assert not [word for word in ("posted", "Simulated", beside_hub.tokens.post) if word in said.replace("posting", "")]
