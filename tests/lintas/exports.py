"""Bulletins to export: the samples, and generated ones of every kind with every type of indicator."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from hypothesis import strategies as st

from lintas import bulletin, vocabulary
from lintas.draft import Draft, read_draft
from lintas.header import EVERYONE, check_header
from lintas.indicators import normalise
from lintas.stix import Export
from lintas.stix.ids import stamp
from lintas.strict import b64u

KNOWN = vocabulary.load()
NOW = 1_795_467_600
NOW_US = NOW * 1_000_000
LINE_ID = b64u(bytes(range(32)))
OTHER_ID = b64u(bytes(range(1, 33)))
SAMPLES: list[dict[str, Any]] = json.loads(resources.files("lintas").joinpath("samples.json").read_text("utf-8"))[
    "bulletins"
]
EXAMPLES = {each.name: normalise(each.name, each.example) for each in KNOWN.indicator_types.values()}
RELATIONS = {
    "answer": "answers",
    "consent-request": "comments",
    "consent-answer": "answers",
    "endorsement": "endorses",
    "comment": "comments",
    "feedback": "comments",
    "recall": "recalls",
}
NEEDED: dict[str, dict[str, Any]] = {
    "locate": {"case_ref": "SIM-1"},
    "incident": {"event": {"time": "2026-11-20"}},
    "rfi": {
        "questions": ["Fictional?"],
        "purpose": {"code": "investigation", "statement": "Fictional."},
        "case_ref": "SIM-1",
    },
    "consent-request": {
        "permission": "evidence",
        "purpose": {"code": "investigation", "statement": "Fictional."},
        "case_ref": "SIM-1",
    },
    "answer": {"result": "negative"},
    "consent-answer": {"result": "granted", "requester": "sg-police"},
    "feedback": {"result": "actioned", "counts": {"arrests": 0, "seizures": 2}},
    "recall": {"reason": "inaccurate"},
}
NEEDS_INDICATORS = frozenset({"asset", "lookout", "sighting"})


def export_of(draft: Draft, **facts: Any) -> Export:
    """Return a draft as if my-police had published it at NOW, with these facts."""
    names = sorted({*draft.release_to} - {"my-police"})
    communities = [name for name in names if name in KNOWN.communities]
    members = {each for name in communities for each in KNOWN.communities[name]}
    resolved = sorted(({*names} - {*communities} | members) - {"my-police"})
    is_open = draft.tlp in {"CLEAR", "GREEN"} and (not resolved or "*" in names)
    header = {
        "alg": "Ed25519",
        "typ": "vnd.lintas.bulletin",
        "kid": LINE_ID,
        "iss": "my-police",
        "aud": "exercise.lintas.example-k3v9q2xa",
        "iat": NOW,
        "exp": draft.exp(NOW),
        "kind": draft.kind,
        "topic": draft.topic,
        "tlp": draft.tlp,
        "release_to": list(EVERYONE) if is_open else resolved,
        "urgency": draft.urgency,
        **({"refs": list(draft.refs)} if draft.refs else {}),
    }
    content = bulletin.check(draft.members, kind=draft.kind)
    given = {"id": LINE_ID, "time_us": NOW_US + 5, **facts}
    return Export(header=check_header(header), content=content, **given)


def sample_export(sample: dict[str, Any], **facts: Any) -> Export:
    """Return the export of a sample; what it refers to is a line that we make up."""
    draft = dict(sample["draft"])
    if "refs" in draft:
        draft["refs"] = [f"{each.split(':', 1)[0]}:{OTHER_ID}" for each in draft["refs"]]
    return export_of(read_draft(draft), **facts)


def _words(**limits: Any) -> st.SearchStrategy[str]:
    letters = st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp"))
    return st.text(letters, min_size=1, max_size=40, **limits).filter(str.strip)


TIMES = st.integers(0, 1_000_000_000).map(lambda each: f"{stamp(each * 1_000_000)[:19]}Z")


@st.composite
def indicators(draw: st.DrawFn) -> dict[str, Any]:
    """Return an indicator of any type with any of its members."""
    kind = draw(st.sampled_from(sorted(EXAMPLES)))
    found: dict[str, Any] = {"type": kind, "value": EXAMPLES[kind], "role": draw(_words())}
    found |= draw(st.fixed_dictionaries({}, optional={name: _words() for name in ("name", "asset", "note")}))
    first, last = sorted((draw(TIMES), draw(TIMES)))
    found |= draw(st.sampled_from(({}, {"first_seen": first}, {"first_seen": first, "last_seen": last})))
    if kind == "person" or draw(st.booleans()):
        found["person_role"] = draw(st.sampled_from(sorted(KNOWN.person_roles)))
    return found


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """Return a draft of any kind that is not sealed."""
    kind = draw(st.sampled_from(sorted(KNOWN.kinds)))
    pick = {"topics": 2, "handling_codes": 4, "caveats": 3}
    sets = {
        name: draw(st.lists(st.sampled_from(sorted(getattr(KNOWN, name))), unique=True, max_size=count))
        for name, count in pick.items()
    }
    optional = {
        "severity": st.sampled_from(sorted(KNOWN.severities)),
        "grading": st.fixed_dictionaries(
            {
                "source": st.sampled_from(sorted(KNOWN.sources)),
                "information": st.sampled_from(sorted(KNOWN.credibilities)),
            }
        ),
        "pap": st.sampled_from(sorted(KNOWN.paps)),
        "event": st.sampled_from(
            (
                {"time": "2026-11-20", "place": "KHPNH"},
                {"time": "2026-11-20T01:00:00Z", "position": "1.00000,2.00000"},
                {"time": "2026-11-20", "place": "A fictional quay"},
            )
        ),
        "languages": st.sampled_from((["en"], ["km", "en"])),
        "valid_from": TIMES,
        "references": st.lists(_words(), max_size=3),
        "case_ref": st.just("SIM-2"),
        "fictional": st.booleans(),
        "stix": st.just({"objects": [{"type": "note", "id": "note--1"}]}),
    }
    count = 1 if kind in NEEDS_INDICATORS else 0
    payload = {
        **draw(st.fixed_dictionaries({}, optional=optional)),
        "title": draw(_words()),
        "summary": draw(_words()),
        "topics": sets["topics"],
        "handling": sets["handling_codes"],
        "handling_note": "Fictional.",
        "caveats": sets["caveats"],
        "indicators": draw(st.lists(indicators(), min_size=count, max_size=4)),
        **NEEDED.get(kind, {}),
    }
    tlp = draw(st.sampled_from(("CLEAR", "GREEN", "AMBER", "AMBER+STRICT")))
    release = draw(st.sampled_from((["*"], ["sg-police", "th-police"]))) if tlp in {"CLEAR", "GREEN"} else ["sg-police"]
    return read_draft(
        {
            "kind": kind,
            "topic": draw(st.sampled_from(sorted(KNOWN.topics))),
            "tlp": tlp,
            "urgency": draw(st.sampled_from(sorted(KNOWN.urgencies))),
            "release_to": release,
            "valid_until": "2027-01-01T00:00:00Z",
            **({"refs": [f"{RELATIONS[kind]}:{OTHER_ID}"]} if kind in RELATIONS else {}),
            "payload": payload,
        }
    )
