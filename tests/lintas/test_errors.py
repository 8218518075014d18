"""Tests of the error tree: drawn as it is, coded once, read both ways."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lintas import errors
from lintas.errors import (
    BY_CODE,
    STATUS,
    Evidence,
    LintasError,
    NotFound,
    Recalled,
    Refusal,
    Trouble,
    kebab,
)
from lintas.problems import from_problem

CLASSES = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LintasError)]
BRANCHES = (Refusal, Evidence, Trouble)
LEAVES = [each for each in CLASSES if each not in (LintasError, *BRANCHES)]


def drawn() -> Iterator[tuple[str, str]]:
    """Yield every leaf of the tree in the docstring with its branch."""
    branch = ""
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"[├└]── (\w+)", line):
            branch = found[1]
        elif line.startswith(("│   ", "    ")) and "── " in line:
            yield from ((leaf, branch) for leaf in line.partition("── ")[2].split(" · "))


def test_tree_is_drawn_as_it_is() -> None:
    """The docstring shows every class under its branch, once."""
    assert sorted((each.__name__, each.__bases__[0].__name__) for each in LEAVES) == sorted(drawn())


def test_branches() -> None:
    """There are three branches, and nothing hangs outside them."""
    assert {LintasError} == {each.__bases__[0] for each in BRANCHES}
    assert set(BRANCHES) == {each.__bases__[0] for each in LEAVES}


def test_every_refusal_has_a_status() -> None:
    """The table gives a status to each refusal, and to nothing else."""
    assert {each for each in LEAVES if issubclass(each, Refusal)} == set(STATUS)


def test_statuses_are_errors() -> None:
    """Every status is one of HTTP's error statuses."""
    assert [] == [each for each, status in STATUS.items() if not 400 <= status <= 599]


@pytest.mark.parametrize("kind", STATUS, ids=lambda kind: kind.code)
def test_problem_round_trip(kind: type[LintasError]) -> None:
    """What the hub says as a problem, the client reads as the same error."""
    told = kind("The detail.", member="iss", by="A", retry_after=3)

    found = from_problem({**told.problem(), "status": STATUS[kind]}, STATUS[kind])

    assert (kind, "The detail.", "iss", {"by": "A", "retry_after": 3}) == (
        type(found),
        found.detail,
        found.member,
        found.extra,
    )


def test_codes_are_unique() -> None:
    """No two classes have one code, and the code is the name in kebab case."""
    assert len(CLASSES) == len({each.code for each in CLASSES})
    assert {kind.code: kind for kind in STATUS} == BY_CODE
    assert ("too-large", "tlp-above-ceiling", "x") == (kebab("TooLarge"), kebab("TlpAboveCeiling"), kebab("X"))


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.code)
def test_docstring_says_what_to_do(kind: type[LintasError]) -> None:
    """Each docstring is the message: what happened, then what to do, in one line."""
    title = kind.title()

    assert len(re.findall(r"[.;:](?: |$)", title)) >= 2
    assert ("\n" not in title, ".") == (True, title[-1])
    assert title == str(kind())


def test_problem_members() -> None:
    """A problem has type and title; detail, member and extensions only where there are some."""
    bare = NotFound().problem()
    full = Recalled("Gone.", member="id", by="A").problem()

    assert {"type": "tag:lintas.example,2026:not-found", "title": NotFound.title()} == bare
    assert {
        "type": "tag:lintas.example,2026:recalled",
        "title": Recalled.title(),
        "detail": "Gone.",
        "member": "id",
        "by": "A",
    } == full


def test_unknown_problem() -> None:
    """A problem of a type we do not know is a plain refusal with whatever detail it gives."""
    found = from_problem({"type": "about:blank", "detail": "Bad gateway.", "status": 502, "list": [1]}, 502)

    assert (Refusal, "Bad gateway.", None, {}) == (type(found), found.detail, found.member, found.extra)


def test_problem_that_says_nothing() -> None:
    """A problem without detail says the title of its class, an unknown one the status."""
    known = from_problem({"type": NotFound().problem()["type"], "title": "Nothing."}, 404)
    unknown = from_problem({"title": "Bad gateway"}, 502)

    assert (NotFound.title(), "The hub answered 502.") == (str(known), str(unknown))


def test_evidence_is_not_taken_from_the_hub() -> None:
    """A hub cannot make a client believe that evidence failed, or the other way round."""
    found = from_problem({"type": errors.PROBLEM_TYPE_PREFIX + "inconsistent-log"}, 500)

    assert Refusal is type(found)
