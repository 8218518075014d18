"""The way of a posted bulletin into the log.

`open_bulletin` runs where the request arrived: shape, signature, payload. `admit_bulletins` runs in the writer, where
the directory cannot change under it: known id, policy, payload verdict, events. A known id wins over everything after
the signature, so a late retry of an accepted line always succeeds.
The data-protection checks of the text run at the door too; they refuse only after policy and schema had their say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from broker import policy
from broker.batch import Batch
from lintas import bulletin
from lintas.directory import Directory
from lintas.epoch import split_origin
from lintas.errors import BadRequest, Evidence, FormerEpoch, MalformedPayload, Refusal
from lintas.event import US_PER_S, entry_of, parse_event
from lintas.header import BULLETIN
from lintas.line import Line, check, parse
from lintas.lint import QUOTING, Finding, codes, lint, lint_quoted, refuse
from lintas.note import VerifierKey
from lintas.receipt import check_receipt, origin_in, parse_receipt
from lintas.sealed import Sealed, read_sealed
from lintas.vocabulary import TLP

PART = "recalls-part"
"""How a recall that names indicators is stored: it withdraws those, not the bulletin."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A bulletin whose signature is good. A payload that breaks its schema is refused only after policy had its say.

    `logged_at` is the second at which a log accepted it before, as a receipt proves. With `entry` it was another
    epoch's log, and counts if the hub knows that event from then.
    """

    line: Line
    content: bulletin.Bulletin | None = None
    sealed: Sealed | None = None
    fault: MalformedPayload | None = None
    findings: tuple[Finding, ...] = ()
    logged_at: int | None = None
    entry: bytes | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """The further topics of a clear payload."""
        return () if self.content is None else self.content.topics

    @property
    def is_partial(self) -> bool:
        """Tell whether this is a recall of some indicators only. A sealed one cannot be: the hub sees none."""
        return self.content is not None and bulletin.is_partial_recall(self.content)

    @property
    def is_personal(self) -> bool:
        """Tell whether it has person data, or is sealed and may have some."""
        return self.content is None or bulletin.has_person_data(self.content)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where a bulletin stands in the log; `is_new` is False for the same bytes posted again.

    `warnings` are the codes of what the data-protection checks found, told once.
    """

    id: str
    seq: int
    is_new: bool
    warnings: tuple[str, ...] = ()


def open_bulletin(raw: bytes, directory: Directory) -> Submission:
    """Read and verify a posted bulletin; raise a Refusal that any stranger may cause."""
    line = parse(raw, BULLETIN)
    check(line, directory.key(line.header.kid, line.header.iss).public)
    try:
        if line.header.enc is not None:
            return Submission(line, sealed=read_sealed(line.payload))
        content = bulletin.parse(line.payload, kind=line.header.kind or "")
    except MalformedPayload as fault:
        return Submission(line, fault=fault)
    return Submission(line, content, findings=lint(content, topic=line.header.topic or "", tlp=line.header.tlp or ""))


def open_logged(body: bytes, directory: Directory, keys: Sequence[VerifierKey]) -> Submission:
    """Read a bulletin that comes back with the receipt of a log that had it, under one of its keys; raise a Refusal.

    A receipt of another epoch of this log counts only if what it is of was carried over: no former key is believed.
    """
    raw, _, receipt = body.partition(b"\n")
    submission = open_bulletin(raw, directory)
    try:
        found = parse_receipt(receipt)
        event = parse_event(found.extra or b"")
    except Evidence as fault:
        raise _unproven() from fault
    if (event.kind, event.object) != ("bulletin.accepted", submission.line.id):
        raise _unproven()
    claim = replace(submission, logged_at=event.time // US_PER_S)
    for key in keys:
        with suppress(Evidence):
            check_receipt(found, line_id=submission.line.id, origin=key.name, key=key)
            return claim
    if not _is_of_another_epoch(receipt, keys[-1].name):
        raise _unproven()
    return replace(claim, entry=entry_of(found.extra or b""))


def _is_of_another_epoch(receipt: bytes, origin: str) -> bool:
    try:
        (hub, epoch), ours = split_origin(origin_in(receipt)), split_origin(origin)
    except Evidence:
        return False
    return hub == ours[0] and epoch != ours[1]


def _unproven() -> BadRequest:
    return BadRequest("The receipt does not prove that this log ever accepted the line.", member="receipt")


def admit_bulletins(batch: Batch, submissions: Sequence[Submission | Refusal]) -> list[Accepted | Refusal]:
    """Admit submissions in order; each refusal is recorded as an event of its issuer and returned in its place."""
    return [admit_bulletin(batch, each) if isinstance(each, Submission) else each for each in submissions]


def admit_bulletin(batch: Batch, submission: Submission) -> Accepted | Refusal:
    """Admit one submission, or record its refusal and return it."""
    line = submission.line
    seq = batch.known.get(line.id)
    if seq is not None:
        return Accepted(line.id, seq, is_new=False)
    try:
        targets = _targets(batch, line)
        admission = policy.admit(
            line.header,
            batch.directory,
            targets=targets,
            topics=submission.topics,
            now=batch.now,
            sealed_to=None if submission.sealed is None else submission.sealed.to.keys(),
            logged_at=_logged_at(batch, submission),
        )
        if submission.fault is not None:
            raise submission.fault
        findings = submission.findings + _quoted(line, targets)
        refuse(findings)
    except Refusal as refusal:
        record_refusal(batch, "bulletin.refused", line, refusal)
        return refusal
    return _accept(batch, submission, admission, targets, codes(findings))


def check_former(batch: Batch, line: Line) -> None:
    """Raise FormerEpoch for a line that a former epoch accepted: it would take effect a second time."""
    if line.id in batch.former:
        raise FormerEpoch


def _logged_at(batch: Batch, submission: Submission) -> int | None:
    """Return when a log accepted this bulletin before, None when it is new; raise FormerEpoch."""
    if submission.logged_at is not None and submission.entry is None:
        return submission.logged_at
    entries = batch.former.get(submission.line.id)
    if entries is None:
        # Accepted after the former epoch's end, if at all, which is void: it is as new as its date says.
        return None
    if submission.entry not in entries:
        # Only the issuer was given the event with its salt: nobody else brings back what may have been recalled.
        raise FormerEpoch
    return submission.logged_at


def record_refusal(batch: Batch, kind: str, line: Line, refusal: Refusal) -> None:
    """Log that a line with a good signature was refused, as an event of its issuer, once."""
    if not batch.refuse_once(line.id):
        # Anyone can send captured bytes again and again; from the second time on that is a stranger's doing.
        return
    detail = {"code": refusal.code} | ({"member": refusal.member} if refusal.member is not None else {})
    batch.append(kind, line.header.iss, object_id=line.id, detail=detail)
    refusal.is_logged = True


def _accept(
    batch: Batch,
    submission: Submission,
    admission: policy.Admission,
    targets: Mapping[str, policy.Target],
    warnings: tuple[str, ...],
) -> Accepted:
    line, header = submission.line, submission.line.header
    detail = {
        "kind": header.kind,
        "topic": header.topic,
        "tlp": header.tlp,
        "released": list(admission.released),
        "withheld": dict(admission.withheld),
        "refs": list(header.refs),
    }
    if warnings:
        detail["lint"] = list(warnings)
    seq = batch.append("bulletin.accepted", header.iss, object_id=line.id, detail=detail)
    batch.keep(line, seq, withdraws=admission.withdraws, is_personal=submission.is_personal)
    if submission.content is not None:
        batch.index(seq, ((each.type, each.value) for each in submission.content.indicators))
    for agency in admission.released:
        batch.release(line, seq, agency)
    for agency, reason in admission.withheld.items():
        batch.withhold(seq, agency, reason)
    for ref in header.refs:
        relation, target = ref.split(":", 1)
        batch.refer(seq, PART if relation == "recalls" and submission.is_partial else relation, targets[target].seq)
    if header.kind == policy.RECALL:
        for target in header.targets("recalls"):
            recalled = {"by": line.id, "part": submission.is_partial}
            batch.append("bulletin.recalled", header.iss, object_id=target, detail=recalled)
    return Accepted(line.id, seq, is_new=True, warnings=warnings)


def _quoted(line: Line, targets: Mapping[str, policy.Target]) -> tuple[Finding, ...]:
    header = line.header
    if not header.refs:
        return ()
    quoted = {TLP[targets[target].tlp_rank] for target in header.targets(*QUOTING)}
    return lint_quoted(header.kind or "", header.tlp or "", quoted)


def _targets(batch: Batch, line: Line) -> dict[str, policy.Target]:
    ids = {ref.split(":", 1)[1] for ref in line.header.refs}
    found = (batch.find(line_id) for line_id in ids)
    return {target.id: target for target in found if target is not None}
