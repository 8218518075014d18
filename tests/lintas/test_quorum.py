"""Tests of the policy: its file, its quorum, what it makes of a checkpoint."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.cosignature import cosign
from lintas.errors import BadNote, BadPolicy
from lintas.note import ALGORITHM_COSIGNATURE, SignerKey
from lintas.quorum import NAMES_MAX, POLICY_BYTES_MAX, Group, Policy, for_log, judge, parse_policy

ORIGIN = "hub.example/log/1"
LOG = SignerKey.from_seed(ORIGIN, bytes(32))
OTHER_LOG = SignerKey.from_seed("other.example/log/1", bytes([99]) * 32)
KEYS = [SignerKey.from_seed(f"w.example/{n}", bytes([n + 1]) * 32, ALGORITHM_COSIGNATURE) for n in range(NAMES_MAX + 1)]
VKEYS = [key.verifier.text() for key in KEYS]
THREE = "".join(f"witness w{n} {VKEYS[n]}\n" for n in range(3))
TEXT = format_checkpoint(Checkpoint(ORIGIN, 42, bytes(range(32)))).encode()


def read(text: str) -> Policy:
    """Read a policy of text."""
    return parse_policy(text.encode("utf-8", "surrogateescape"))


def satisfied(policy: Policy) -> set[frozenset[str]]:
    """Return every set of witnesses that is enough."""
    names = list(policy.witnesses)
    sets = [frozenset(some) for count in range(len(names) + 1) for some in combinations(names, count)]
    return {some for some in sets if policy.holds({policy.witnesses[name] for name in some})}


def test_example_of_the_specification() -> None:
    """Two of three here and one of three there, as the specification's example has it."""
    witnesses = "".join(f"witness {n} {VKEYS[i]}\n" for i, n in enumerate(("X1", "X2", "X3", "Y1", "Y2", "Y3")))
    policy = read(
        f"log {LOG.verifier.text()}\n\n{witnesses}group X-witnesses 2 X1 X2 X3\n\n"
        "group Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n"
    )

    expected = {
        some
        for some in satisfied(Policy((), policy.witnesses, {"a": Group(0, ())}, "a"))
        if sum(name[0] == "X" for name in some) >= 2 and any(name[0] == "Y" for name in some)
    }
    assert expected == satisfied(policy)
    assert ((LOG.verifier,), 3) == (policy.logs, policy.count_min)


@pytest.mark.parametrize(
    ("group", "sizes", "count_min"),
    [("any", {1, 2, 3}, 1), ("1", {1, 2, 3}, 1), ("2", {2, 3}, 2), ("3", {3}, 3), ("all", {3}, 3)],
)
def test_group(group: str, sizes: set[int], count_min: int) -> None:
    """Of three, any, a number or all must have cosigned."""
    policy = read(f"{THREE}group g {group} w0 w1 w2\nquorum g\n")

    assert (sizes, count_min) == ({len(some) for some in satisfied(policy)}, policy.count_min)


def test_one_witness() -> None:
    """The quorum can be one witness, whoever else cosigns."""
    policy = read(f"{THREE}quorum w1\n")

    assert all("w1" in some for some in satisfied(policy))
    assert 4 == len(satisfied(policy))


def test_none() -> None:
    """A quorum of none asks for no cosignature, and calls nothing witnessed."""
    policy = read("quorum none\n")

    assert policy.holds(set())
    assert (None, 0) == (policy.quorum, policy.count_min)
    assert not judge(note.sign_note(TEXT, LOG), key=LOG.verifier, policy=policy).is_enough


def test_form() -> None:
    """Comments, empty lines, tabs, spaces around, addresses, and bytes beyond ASCII in names are all allowed."""
    policy = parse_policy(
        b"# a comment with \xff\n \t\n\tlog  " + LOG.verifier.text().encode() + b"\thttps://hub.example \n"
        b"witness \xe2\x84\xaa\xff " + VKEYS[0].encode() + b" https://w.example\n"
        b"  # another\nquorum \xe2\x84\xaa\xff\n"
    )

    assert (["\u212a\udcff"], [LOG.verifier]) == (list(policy.witnesses), list(policy.logs))
    assert policy == parse_policy(policy.text())


def test_quorum_before_witnesses() -> None:
    """Logs and witnesses may stand anywhere; only groups and the quorum look back."""
    policy = read(f"witness w0 {VKEYS[0]}\nquorum w0\nwitness w1 {VKEYS[1]}\nlog {LOG.verifier.text()}\n")

    assert ("w0", {"w0", "w1"}) == (policy.quorum, set(policy.witnesses))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "quorum line"),
        (f"{THREE}", "quorum line"),
        (f"{THREE}quorum w0", "line feed"),
        (f"{THREE}quorum w0\r\n", "control"),
        (f"{THREE}quorum w0\x7f\n", "control"),
        (f"{THREE}quorum w0\nquorum w0\n", "Line 5: there is a quorum already"),
        (f"{THREE}quorum w3\n", "Line 4: 'w3' is on no earlier line"),
        (f"{THREE}quorum\n", "Line 4"),
        (f"{THREE}quorum w0 w1\n", "Line 4"),
        (f"{THREE}Quorum w0\n", "Line 4"),
        (f"quorum w0\n{THREE}", "Line 1"),
        (f"{THREE}group g 0 w0 w1\nquorum g\n", "Line 4: of 2 members"),
        (f"{THREE}group g 3 w0 w1\nquorum g\n", "Line 4: of 2 members"),
        (f"{THREE}group g 01 w0 w1\nquorum g\n", "Line 4"),
        (f"{THREE}group g +1 w0 w1\nquorum g\n", "Line 4"),
        (f"{THREE}group g \u0661 w0 w1\nquorum g\n", "Line 4"),
        (f"{THREE}group g some w0 w1\nquorum g\n", "Line 4"),
        (f"{THREE}group g any\nquorum g\n", "Line 4: a group has members"),
        (f"{THREE}group g any w0 w0\nquorum g\n", "Line 4: 'w0' is a member already"),
        (f"{THREE}group g any w0\ngroup h any w0\nquorum h\n", "Line 5: 'w0' is a member already"),
        (f"{THREE}group g any g\nquorum g\n", "Line 4: 'g' is on no earlier line"),
        (f"{THREE}group g any none\nquorum g\n", "Line 4: 'none' is on no earlier line"),
        (f"{THREE}group none any w0\nquorum none\n", "Line 4: the name 'none' is taken"),
        (f"{THREE}group w1 any w0\nquorum w1\n", "Line 4: the name 'w1' is taken"),
        (f"{THREE}witness w0 {VKEYS[3]}\nquorum w0\n", "Line 4: the name 'w0' is taken"),
        (f"{THREE}witness w3 {VKEYS[0]}\nquorum w0\n", "Line 4: the key of this witness"),
        (f"witness w0 {LOG.verifier.text()}\nquorum w0\n", "Line 1: .*algorithm"),
        (f"log {VKEYS[0]}\nquorum none\n", "Line 1: .*algorithm"),
        (f"witness w0 {VKEYS[0][:-4]}AAA=\nquorum w0\n", "Line 1"),
        (f"log {LOG.verifier.text()}\nlog {LOG.verifier.text()}\nquorum none\n", "Line 2: the key of this log"),
        (f"witness w0\u00a0{VKEYS[0]}\nquorum w0\n", "Line 1"),
        ("witness w0\nquorum w0\n", "Line 1"),
        ("log\nquorum none\n", "Line 1"),
        ("#" * POLICY_BYTES_MAX + "\nquorum none\n", "bytes"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """A file that is not a sound policy is refused, and the message names the line."""
    with pytest.raises(BadPolicy, match=said):
        read(text)


def test_duplicate_key_under_another_name() -> None:
    """One key is one witness, whatever names it is given."""
    namesake = SignerKey.from_seed("other.example/w", KEYS[0].seed, ALGORITHM_COSIGNATURE).verifier.text()

    with pytest.raises(BadPolicy, match="Line 4: the key of this witness"):
        read(f"{THREE}witness w3 {namesake}\nquorum w0\n")


def test_limits() -> None:
    """As many witnesses as the format asks for are taken, one more is refused."""
    lines = [f"witness w{n} {vkey}\n" for n, vkey in enumerate(VKEYS)]

    assert NAMES_MAX == len(read("".join(lines[:NAMES_MAX]) + "quorum w0\n").witnesses)
    with pytest.raises(BadPolicy, match=f"more than {NAMES_MAX}"):
        read("".join(lines) + "quorum w0\n")


@given(st.data())
def test_round_trip(data: st.DataObject) -> None:
    """A policy written is the policy read, and no fewer than `count_min` cosignatures ever satisfy it."""
    names = [f"w{n}" for n in range(data.draw(st.integers(1, 6)))]
    free, groups = list(names), ""
    for number in range(data.draw(st.integers(0, 4))):
        some = data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=3, unique=True)) if free else []
        if not some:
            break
        free = [name for name in free if name not in some] + [f"g{number}"]
        groups += f"group g{number} {data.draw(st.integers(1, len(some)))} {' '.join(some)}\n"
    witnesses = "".join(f"witness {name} {VKEYS[n]}\n" for n, name in enumerate(names))
    policy = read(f"{witnesses}{groups}quorum {data.draw(st.sampled_from(free))}\n")

    assert policy == parse_policy(policy.text())
    assert policy.count_min == min(len(some) for some in satisfied(policy))


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever the bytes, they are a policy or refused as one."""
    try:
        policy = parse_policy(data)
    except BadPolicy:
        return
    assert policy == parse_policy(policy.text())


def cosigned(*keys: SignerKey) -> bytes:
    """Return the checkpoint signed by the log and cosigned by these."""
    _, by_log = note.split_note(note.sign_note(TEXT, LOG))
    return note.format_note(TEXT, [*by_log, *(cosign(TEXT, key, time=1) for key in keys)])


def test_judge() -> None:
    """A checkpoint is judged by who cosigned: each witness counts once, strangers do not count."""
    policy = read(f"{THREE}group g 2 w0 w1 w2\nquorum g\n")

    one = judge(cosigned(KEYS[2], KEYS[2], KEYS[5]), key=LOG.verifier, policy=policy)
    two = judge(cosigned(KEYS[2], KEYS[0]), key=LOG.verifier, policy=policy)

    assert (("w2",), 3, False) == (one.names, one.of, one.is_enough)
    assert (("w0", "w2"), 3, True) == (two.names, two.of, two.is_enough)


def test_judge_without_the_log() -> None:
    """Cosignatures make up for no signature of the log, and a bad one among them spoils the note."""
    policy = read(f"{THREE}quorum w0\n")
    without = note.format_note(TEXT, [cosign(TEXT, KEYS[0], time=1)])
    _, by_log = note.split_note(note.sign_note(TEXT, LOG))
    spoilt = note.format_note(TEXT, [*by_log, cosign(TEXT + b"more\n", KEYS[0], time=1)])

    for each in (without, spoilt):
        with pytest.raises(BadNote):
            judge(each, key=LOG.verifier, policy=policy)


def test_policy_of_another_log() -> None:
    """A policy that names logs is for these alone; one that names none is for any."""
    other = read(f"log {OTHER_LOG.verifier.text()}\nquorum none\n")
    both = read(f"log {OTHER_LOG.verifier.text()}\nlog {LOG.verifier.text()}\nquorum none\n")

    assert both == for_log(both, LOG.verifier)
    assert Policy() == for_log(Policy(), LOG.verifier)
    with pytest.raises(BadPolicy, match="other logs"):
        for_log(other, LOG.verifier)
