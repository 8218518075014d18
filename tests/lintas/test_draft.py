"""Drafts, and the samples that come as drafts."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from lintas import handling, vocabulary
from lintas.bulletin import parse
from lintas.draft import Draft, read_draft
from lintas.errors import MalformedPayload
from lintas.header import VALIDITY_S_MAX

LINE_ID = "A" * 43
NOW = 1_795_467_600
DRAFT: dict[str, Any] = {
    "kind": "alert",
    "topic": "cyber.scam",
    "tlp": "AMBER",
    "urgency": "urgent",
    "release_to": ["mekong", "sg-police"],
    "valid_for": "P30D",
    "payload": {"title": "Fictional title", "summary": "Fictional summary"},
}
SAMPLES = json.loads(resources.files("lintas").joinpath("samples.json").read_text("utf-8"))["bulletins"]
SLUGS = [each["sample"] for each in SAMPLES]


def refused(**members: Any) -> MalformedPayload:
    """Return the refusal of the draft above with these members on top; None takes one away."""
    draft = {name: value for name, value in {**DRAFT, **members}.items() if value is not None}
    with pytest.raises(MalformedPayload) as caught:
        read_draft(draft)
    return caught.value


def test_a_draft_says_what_the_header_will_say() -> None:
    """Every wish is kept, the payload apart."""
    actual = read_draft(DRAFT | {"exclude": ["mm-police"], "refs": [f"supersedes:{LINE_ID}"]})

    assert actual == Draft(
        kind="alert",
        topic="cyber.scam",
        tlp="AMBER",
        urgency="urgent",
        release_to=("mekong", "sg-police"),
        members=DRAFT["payload"],
        exclude=("mm-police",),
        refs=(f"supersedes:{LINE_ID}",),
        valid_for_s=30 * 86_400,
    )


@pytest.mark.parametrize("member", sorted({*DRAFT} - {"valid_for"}))
def test_each_member_of_a_draft_is_needed(member: str) -> None:
    """The refusal names what is missing."""
    assert refused(**{member: None}).member == member


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"colour": "red"}, "colour"),
        ({"kind": "gossip"}, "kind"),
        ({"topic": "magic"}, "topic"),
        ({"tlp": "WHITE"}, "tlp"),
        ({"tlp": 1}, "tlp"),
        ({"urgency": "someday"}, "urgency"),
        ({"release_to": "mekong"}, "release_to"),
        ({"release_to": ["me kong"]}, "release_to[0]"),
        ({"release_to": ["mekong", "mekong"]}, "release_to[1]"),
        ({"release_to": [f"a{n}" for n in range(257)]}, "release_to"),
        ({"exclude": ["me kong"]}, "exclude[0]"),
        ({"exclude": [f"a{n}" for n in range(257)]}, "exclude"),
        ({"refs": [f"praises:{LINE_ID}"]}, "refs[0]"),
        ({"refs": ["supersedes:sample:x"]}, "refs[0]"),
        ({"refs": [f"supersedes:{LINE_ID}"] * 2}, "refs[1]"),
        ({"refs": [f"comments:{'A' * 41}{n:x}A" for n in range(16)] + [f"supersedes:{LINE_ID}"]}, "refs"),
        ({"payload": []}, "payload"),
        ({"payload": {"title": "a"}}, "payload.summary"),
        ({"payload": DRAFT["payload"] | {"indicators": [1]}}, "payload.indicators[0]"),
    ],
)
def test_a_wrong_member_is_refused_with_its_path(members: dict[str, Any], path: str) -> None:
    """Paths lead into the payload too."""
    assert refused(**members).member == path


def test_a_marking_may_be_written_as_it_is_shown() -> None:
    """People copy TLP:AMBER from the screen."""
    assert read_draft(DRAFT | {"tlp": "TLP:AMBER"}).tlp == "AMBER"


def test_indicators_are_made_canonical() -> None:
    """What is signed is what the hub accepts."""
    phone = {"type": "phone", "value": "+66 7042 6579", "role": "broker"}
    draft = read_draft(DRAFT | {"payload": DRAFT["payload"] | {"indicators": [phone]}})

    assert parse(draft.payload(), kind="alert").indicators[0].value == "+6670426579"


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("P30D", 2_592_000),
        ("P2W", 1_209_600),
        ("PT6H", 21_600),
        ("PT1M", 60),
        ("P1DT12H30M", 131_400),
        (f"P{VALIDITY_S_MAX // 86_400}D", VALIDITY_S_MAX),
    ],
)
def test_a_duration_counts_from_signing(duration: str, seconds: int) -> None:
    """The end moves with the time of signing."""
    draft = read_draft(DRAFT | {"valid_for": duration})

    assert NOW + seconds == draft.exp(NOW)


@pytest.mark.parametrize(
    "duration",
    [
        "30 days",
        "P",
        "PT",
        "P1DT",
        "P1Y",
        "P1M",
        "PT6S",
        "P-1D",
        "P٣D",
        "P0D",
        f"P{VALIDITY_S_MAX // 86_400}DT1M",
        30,
        "P30D\n",
    ],
)
def test_other_durations_are_refused(duration: object) -> None:
    """Years and months have no fixed length; nothing stands for ever."""
    assert refused(valid_for=duration).member == "valid_for"


def test_a_fixed_end_stays() -> None:
    """The end does not depend on when the draft is signed."""
    draft = read_draft(
        {name: value for name, value in DRAFT.items() if name != "valid_for"} | {"valid_until": "2026-11-27T03:00:00Z"}
    )

    assert (1_795_748_400, 1_795_748_400) == (draft.exp(NOW), draft.exp(NOW + 60))


@pytest.mark.parametrize(
    "members",
    [{"valid_for": None}, {"valid_until": "2026-11-27T03:00:00Z"}, {"valid_for": None, "valid_until": "2026-11-27"}],
    ids=["none", "both", "no-time"],
)
def test_a_draft_ends_in_exactly_one_way(members: dict[str, Any]) -> None:
    """A bulletin without an end would stand for ever."""
    assert refused(**members).member == "valid_until"


@pytest.mark.parametrize(
    ("kind", "more", "relation"),
    [
        ("recall", {"reason": "legal"}, "recalls"),
        ("answer", {"result": "negative"}, "answers"),
        ("consent-answer", {"result": "granted", "requester": "sg-fiu"}, "answers"),
        ("endorsement", {}, "endorses"),
        ("comment", {}, "comments"),
        ("feedback", {"result": "useful"}, "comments"),
    ],
)
def test_some_kinds_refer_to_what_they_are_about(kind: str, more: dict[str, str], relation: str) -> None:
    """With the reference the draft is read, without it refused."""
    members = {"kind": kind, "payload": DRAFT["payload"] | more}

    assert read_draft({**DRAFT, **members, "refs": [f"{relation}:{LINE_ID}"]}).refs == (f"{relation}:{LINE_ID}",)
    assert refused(**members).member == "refs"
    assert refused(**members, refs=[f"supersedes:{LINE_ID}"]).member == "refs"


def test_only_a_recall_recalls() -> None:
    """An alert that recalls would look like an alert."""
    assert refused(refs=[f"recalls:{LINE_ID}"]).member == "refs"


@pytest.mark.parametrize("posts", [None, [], ["sg-police/duty-officer", "my-ct/duty-officer"]])
def test_red_names_posts_of_its_recipients(posts: list[str] | None) -> None:
    """Whoever may read RED is named, and belongs to an agency that gets it."""
    named = {} if posts is None else {"named_recipients": posts}
    members = {"tlp": "RED", "release_to": ["sg-police"], "payload": DRAFT["payload"] | named}

    assert refused(**members).member == "payload.named_recipients"


RED: dict[str, Any] = {
    "tlp": "RED",
    "release_to": ["sg-police"],
    "payload": DRAFT["payload"]
    | {"named_recipients": ["sg-police/duty-officer"], "marking_reason": "FICTIONAL. The source is in danger."},
}


def test_red_with_named_posts_is_read() -> None:
    """A post at each recipient is what RED needs."""
    draft = read_draft(DRAFT | RED)

    assert ("RED", True) == (draft.tlp, draft.seal)


def test_red_says_why() -> None:
    """RED without a reason for it is refused."""
    payload = {name: value for name, value in RED["payload"].items() if name != "marking_reason"}

    assert "payload.marking_reason" == refused(**RED | {"payload": payload}).member


def test_red_is_always_sealed() -> None:
    """RED in clear cannot be drafted."""
    assert "seal" == refused(**RED, seal=False).member


def test_anything_may_be_sealed() -> None:
    """A draft says so with `seal`; without it, what is not RED goes clear."""
    assert [True, False, False] == [
        read_draft(DRAFT | members).seal for members in ({"seal": True}, {"seal": False}, {})
    ]


@pytest.mark.parametrize("name", ["*", "asean-all"])
def test_nothing_is_sealed_to_everyone(name: str) -> None:
    """Nobody can seal to partners that join later."""
    assert "release_to" == refused(tlp="GREEN", release_to=[name], seal=True).member


def test_sealed_recall_is_whole() -> None:
    """The hub sees no indicators in a sealed recall, so it would withdraw the whole: one that names some is refused."""
    payload = DRAFT["payload"] | {
        "reason": "false-positive",
        "indicators": [{"type": "ip", "value": "203.0.113.7", "role": "x"}],
    }
    members = {"kind": "recall", "refs": [f"recalls:{LINE_ID}"], "payload": payload}

    assert "payload.indicators" == refused(**members, seal=True).member
    assert read_draft(DRAFT | members).kind == "recall"


def sample_draft(sample: dict[str, Any]) -> Draft:
    """Read a sample's draft with an id in place of each sample it refers to."""
    refs = [ref.split(":", 1)[0] + ":" + LINE_ID for ref in sample["draft"].get("refs", [])]
    return read_draft(sample["draft"] | ({"refs": refs} if refs else {}))


@pytest.mark.parametrize("sample", SAMPLES, ids=SLUGS)
def test_every_sample_is_a_draft_whose_payload_reads_back(sample: dict[str, Any]) -> None:
    """The samples are accepted as they are, marked as fictional."""
    draft = sample_draft(sample)

    assert parse(draft.payload(), kind=draft.kind).fictional


@pytest.mark.parametrize("sample", SAMPLES, ids=SLUGS)
def test_every_sample_reaches_somebody_but_its_issuer(sample: dict[str, Any]) -> None:
    """Names of the samples are agencies and communities of the vocabulary."""
    draft, known = sample_draft(sample), vocabulary.load()
    reached = handling.resolve(
        release_to=draft.release_to,
        exclude=draft.exclude,
        issuer=sample["issuer"],
        tlp=draft.tlp,
        communities=known.communities,
        partners=known.agencies,
    )

    assert (True, False) == (sample["issuer"] in known.agencies, sample["issuer"] in reached)


def test_samples_refer_to_earlier_samples_only() -> None:
    """Signing them in order finds every id."""
    refers = [(each["sample"], ref.split(":", 2)[1:]) for each in SAMPLES for ref in each["draft"].get("refs", [])]

    assert refers == [
        (sample, ["sample", target]) for sample, (_, target) in refers if target in SLUGS[: SLUGS.index(sample)]
    ]
    assert len(refers) == 2


def test_there_are_ten_samples_with_names_of_their_own() -> None:
    """One of them is RED."""
    assert (10, 1) == (len({*SLUGS}), sum(each["draft"]["tlp"] == "RED" for each in SAMPLES))
