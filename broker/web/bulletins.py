"""Publishing bulletins, reading them: the two hot paths are plain Starlette endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker import proofs, witnesses
from broker.auth import Caller
from broker.batch import Batch
from broker.delivery import (
    Page,
    Source,
    Window,
    deliver,
    deliver_when_there,
    in_reader,
    read_one,
    read_page,
    record_page,
    submit,
    submit_as,
)
from broker.hub import Hub
from broker.intake import Accepted, Submission, admit_bulletin, admit_bulletins, open_bulletin, open_logged
from broker.standing import readable
from broker.store import lines
from broker.store.engine import Connection
from broker.web.charging import charge_line, charge_rows, count_stranger, let_in, submit_line
from broker.web.current import catch_up, opened
from broker.web.http import (
    LINES_MEDIA,
    PRIVATE,
    TEXT_MEDIA,
    agency_of,
    check_params,
    expect_media,
    flag_param,
    hub_of,
    integer_param,
    problem_members,
    read_body,
)
from broker.web.waiting import resume_after, stream, wait_of, waited, wants_events, while_there
from lintas import filter as filters
from lintas.directory import Directory
from lintas.errors import (
    BadRequest,
    BadSignature,
    LintasError,
    MalformedPayload,
    NotFound,
    PurposeNeeded,
    RateLimited,
    Refusal,
    TooLarge,
    UnknownKey,
)
from lintas.header import BULLETIN, LINE_BYTES_MAX, LOGGED, Header, is_id
from lintas.line import line_id
from lintas.strict import canonical

BULLETIN_MEDIA = f"application/{BULLETIN}"
LOGGED_MEDIA = f"application/{LOGGED}"
RECEIPT_BYTES_MAX = 65_536
"""The event of a bulletin for every partner, a proof, a checkpoint with all witnesses: a fifth of it."""

BATCH_MEDIA = frozenset({LINES_MEDIA, "application/x-ndjson", "text/plain"})
BATCH_LINES_MAX = 1_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
BAD_SIGNATURES_MAX = 16
"""Bad signatures in one batch after which its other lines are not looked at: each one costs a check."""

INLINE_BYTES_MAX = 8_192
"""A line up to this size is opened on the event loop: a thread would cost more than it saves."""

RECALLED_BY_MAX = 100
"""Partial recalls named in a header, the newest: some 5 KB; a feed row names them all."""

PAGE_DEFAULT = 100
PAGE_MAX = 1_000
FEED_PARAMS = frozenset({"after", "limit", "ref", *filters.MEMBERS})


async def publish(request: Request) -> Response:
    """Accept one line or many."""
    check_params(request, ())
    found = expect_media(request, BATCH_MEDIA | {BULLETIN_MEDIA, LOGGED_MEDIA})
    if found == BULLETIN_MEDIA:
        return await _publish_one(request)
    if found == LOGGED_MEDIA:
        return await _publish_again(request)
    return await _publish_many(request)


async def _publish_one(request: Request) -> Response:
    hub = hub_of(request)
    raw = (await read_body(request, LINE_BYTES_MAX[BULLETIN] + 1)).removesuffix(b"\n")
    is_short = len(raw) <= INLINE_BYTES_MAX
    submission = await opened(hub, lambda directory: open_bulletin(raw, directory), inline=is_short)
    return await _admitted(request, submission)


async def _publish_again(request: Request) -> Response:
    hub = hub_of(request)
    body = await read_body(request, LINE_BYTES_MAX[BULLETIN] + 1 + RECEIPT_BYTES_MAX)
    keys = hub.signer.log_keys.keys
    return await _admitted(request, await opened(hub, lambda directory: open_logged(body, directory, keys)))


async def _admitted(request: Request, submission: Submission) -> Response:
    hub = hub_of(request)
    done = await submit_line(request, lambda batch: admit_bulletin(batch, submission), submission.line)
    accepted = done.value
    assert isinstance(accepted, Accepted)
    charge_line(request, submission.line.header, is_new=accepted.is_new)
    if done.signed is not None and accepted.seq in done.signed.bodies:
        receipt = done.signed.receipt(accepted.seq)
    else:
        receipt = await in_reader(hub, lambda conn: proofs.receipt(conn, accepted.seq))
    headers = {**PRIVATE, "Location": f"/v1/bulletins/{accepted.id}", "ETag": f'"{accepted.id}"'}
    if accepted.warnings:
        headers["Lintas-Warnings"] = ", ".join(accepted.warnings)
    return Response(receipt, 201 if accepted.is_new else 200, headers, media_type=TEXT_MEDIA)


async def _publish_many(request: Request) -> Response:
    hub = hub_of(request)
    body = await read_body(request, BATCH_BYTES_MAX)
    if body.count(b"\n", 0, -1) >= BATCH_LINES_MAX:
        raise TooLarge(f"A batch has at most {BATCH_LINES_MAX} lines.")
    raws = body.removesuffix(b"\n").split(b"\n") if body else []
    submissions = await opened(hub, lambda directory: _open_all(raws, directory))
    if any(isinstance(each, UnknownKey) for each in submissions) and await catch_up(hub):
        submissions = await opened(hub, lambda directory: _open_all(raws, directory))
    submissions = _let_in(request, submissions)
    asked = tuple(each.line.id for each in submissions if isinstance(each, Submission))
    done = await submit(hub, lambda batch: admit_bulletins(batch, submissions), asked)
    _charge(request, submissions, done.value)
    results = zip(raws, done.value, strict=True)
    return Response(
        b"".join(canonical(_result(raw, each)) + b"\n" for raw, each in results),
        headers=PRIVATE,
        media_type=LINES_MEDIA,
    )


def _open_all(raws: list[bytes], directory: Directory) -> list[Submission | Refusal]:
    found: list[Submission | Refusal] = []
    bad = 0
    for raw in raws:
        if bad >= BAD_SIGNATURES_MAX:
            found.append(RateLimited("Too many lines of this batch have bad signatures.", retry_after=1))
            continue
        try:
            found.append(open_bulletin(raw, directory))
        except Refusal as refusal:
            bad += isinstance(refusal, BadSignature)
            found.append(refusal)
    return found


def _let_in(request: Request, submissions: list[Submission | Refusal]) -> list[Submission | Refusal]:
    """Count what no key stands behind; let each issuer's lines go on, or refuse them all."""
    headers: dict[str, list[Header]] = {}
    for each in submissions:
        if isinstance(each, Submission):
            headers.setdefault(each.line.header.iss, []).append(each.line.header)
        elif not isinstance(each, RateLimited):
            count_stranger(request, each.code)
    found = {issuer: _refusal(request, each) for issuer, each in headers.items()}
    return [(found[each.line.header.iss] or each) if isinstance(each, Submission) else each for each in submissions]


def _refusal(request: Request, headers: Sequence[Header]) -> Refusal | None:
    try:
        let_in(request, headers[0], len(headers))
    except Refusal as refusal:
        return refusal
    return None


def _charge(
    request: Request, submissions: Sequence[Submission | Refusal], outcomes: Sequence[Accepted | Refusal]
) -> None:
    for submission, outcome in zip(submissions, outcomes, strict=True):
        if isinstance(submission, Submission):
            is_new = outcome.is_logged if isinstance(outcome, Refusal) else outcome.is_new
            charge_line(request, submission.line.header, is_new=is_new)


def _result(raw: bytes, outcome: Accepted | Refusal) -> dict[str, Any]:
    if isinstance(outcome, LintasError):
        members = problem_members(outcome)
        return {"id": line_id(raw), "status": members["status"], "problem": members}
    warnings = {"warnings": list(outcome.warnings)} if outcome.warnings else {}
    return {"id": outcome.id, "status": 201 if outcome.is_new else 200, "seq": outcome.seq} | warnings


async def feed(request: Request) -> Response:
    """Give a page of the caller's feed, or a stream of it."""
    caller = agency_of(request)
    if wants_events(request):
        check_params(request, FEED_PARAMS - {"limit"})
        after = resume_after(request, integer_param(request, "after", -1))
        return await stream(request, _source(request, caller), caller, after=after)
    check_params(request, FEED_PARAMS)
    source, window = _source(request, caller), window_of(request, limit_max=PAGE_MAX)
    page, headers = await deliver_page(request, caller, source, window)
    return page_response(request, page, **headers)


async def deliver_page(
    request: Request, caller: Caller, source: Source, window: Window
) -> tuple[Page, Mapping[str, str]]:
    """Deliver a page of a feed, recorded with the reasons of the caller's token, waited for if the request prefers it.

    Returns the page, with the headers that tell whether it was waited for.
    """
    hub, wait_s = hub_of(request), wait_of(request)
    charge_rows(request, caller, window.limit)

    async def give() -> Page:
        return await deliver(
            hub,
            caller,
            lambda conn: read_page(conn, hub.directory, source, window=window, now=hub.now()),
            lambda batch, page: record_page(batch, source, page),
        )

    if not wait_s:
        return await give(), {}
    return await while_there(request, deliver_when_there(hub, caller, give, wait_s=wait_s)), waited(wait_s)


def page_response(request: Request, page: Page, **further: str) -> Response:
    """Answer with a page, its cursor, and the address of the next one if there is more; `further` headers beside."""
    headers = {**PRIVATE, "Lintas-Cursor": str(page.cursor), **further}
    if page.is_full:
        url = request.url.include_query_params(after=page.cursor)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Response(page.body, 200, headers, media_type=LINES_MEDIA)


def window_of(request: Request, *, limit_max: int, after: int = -1) -> Window:
    """Return which part of a list the caller asks for, beginning after this index unless it says otherwise."""
    after = integer_param(request, "after", after)
    limit = integer_param(request, "limit", PAGE_DEFAULT, low=1, high=limit_max)
    return Window(after, limit)


def _source(request: Request, caller: Caller) -> Source:
    params = request.query_params
    ref = params.get("ref")
    if ref is not None and not is_id(ref):
        raise BadRequest("`ref` is the id of a bulletin.", member="ref")
    try:
        wanted = filters.read_filter({name: [params[name]] for name in filters.MEMBERS if name in params})
    except MalformedPayload as fault:
        raise BadRequest(fault.detail, member=(fault.member or "").partition("[")[0]) from fault
    return Source(caller.party, "feed", wanted, ref, caller.reasons)


async def one(request: Request) -> Response:
    """Give one bulletin, as it was signed."""
    hub, caller = hub_of(request), agency_of(request)
    check_params(request, {"superseded"})
    wanted, old_too = id_of(request), integer_param(request, "superseded", 0, high=1) == 1
    source = Source(caller.party, "fetch", reasons=caller.reasons)

    def read(conn: Connection) -> Page:
        page = read_one(conn, hub.directory, caller.party, wanted, now=hub.now(), superseded=old_too)
        return _with_purpose(caller, page)

    page = await deliver(hub, caller, read, lambda batch, page: record_page(batch, source, page, object_id=wanted))
    headers = {**PRIVATE, "ETag": f'"{wanted}"', "Lintas-Seq": str(page.rows[0].seq)}
    if page.state is not None:
        headers |= {"Lintas-State": page.state, "Lintas-By": page.by or ""}
    if page.marks:
        headers["Lintas-Marks"] = ", ".join(page.marks)
    if page.recalled_by:
        headers["Lintas-Recalled-By"] = ", ".join(page.recalled_by[-RECALLED_BY_MAX:])
    if _matches(request, wanted):
        return Response(status_code=304, headers=headers)
    return Response(page.body, 200, headers, media_type=BULLETIN_MEDIA)


def _with_purpose(caller: Caller, page: Page) -> Page:
    # Asked last: to whom there is nothing to see, nothing is said about what it holds.
    if any(row.is_personal for row in page.rows) and not caller.has_purpose:
        raise PurposeNeeded
    return page


async def receipt(request: Request) -> Response:
    """Give the proof that a bulletin is in the log: its acceptance to the issuer, its release to a recipient.

    With `witnessed=1` it stands under a checkpoint that enough witnesses cosigned.
    """
    hub, caller = hub_of(request), agency_of(request)
    check_params(request, {"witnessed"})
    wanted, witnessed = id_of(request), flag_param(request, "witnessed")
    body = await in_reader(hub, lambda conn: _receipt(conn, hub, caller, wanted, witnessed=witnessed))
    await submit_as(hub, caller, lambda batch: viewed(batch, caller, "receipt", wanted))
    return Response(body, 200, PRIVATE, media_type=TEXT_MEDIA)


def _receipt(conn: Connection, hub: Hub, caller: Caller, wanted: str, *, witnessed: bool) -> bytes:
    row = readable(conn, hub.directory, caller.party, wanted)
    seq = row.seq if row.iss == caller.party else lines.released_seq(conn, row.seq, caller.party)
    assert seq is not None
    return proofs.receipt(conn, seq, witnesses.witnessed_over(conn, hub.witnesses, seq) if witnessed else None)


def viewed(batch: Batch, caller: Caller, view: str, object_id: str | None = None) -> int:
    """Record that a caller read a view."""
    return batch.append("view.read", caller.party, object_id=object_id, detail={"view": view, **dict(caller.reasons)})


def id_of(request: Request) -> str:
    """Return the id in the path; NotFound when it is none."""
    wanted: str = request.path_params["id"]
    if not is_id(wanted):
        # The same answer as for an id that does not exist.
        raise NotFound
    return wanted


def _matches(request: Request, wanted: str) -> bool:
    tags = [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]
    return "*" in tags or f'"{wanted}"' in tags
