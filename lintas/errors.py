"""Every error of Lintas with its code, its HTTP status.

The class name in kebab case is the code, and the code is the problem type (RFC 9457). The docstring is the title
and says what to do next; the detail given when raising says which value was wrong. The hub turns an error into a
problem once, in ``broker.web.problems``; the client reads the same table backwards (``lintas.problems``).

LintasError
├── Refusal                      the hub, or the same check made earlier by the client, says no
│   ├── MalformedLine · WrongType · MalformedPayload · BadRequest
│   ├── BadSignature · UnknownKey · KeyNotActive · WeakKey · BadInvite
│   ├── Stale · FromTheFuture · Expired · ForeignLine · FormerEpoch
│   ├── UnknownRecipient · TopicNotGranted · TlpAboveCeiling · RedNeedsSealing
│   ├── NoOpeningKey · WrongOpeningKeys · DataProtection · PurposeNeeded
│   ├── CursorBeyondLog · QuotaExceeded · RateLimited · UnknownWitness · NotWitnessed
│   ├── RefUnavailable · RecipientsTooFew · PartnerSuspended · NotAllowed · OrderConflict · LifeTooLong
│   ├── Unauthorized · NotFound · Recalled · Superseded · NoLongerValid · Purged
│   ├── TooLarge · UnsupportedMediaType · NotAcceptable · RequestTimeout · MethodNotAllowed
│   └── Busy · ReadOnly · StorageUnreachable · StorageFull · InternalError
├── Evidence                     what the hub showed does not prove what it claims: nothing of it is shown
│   └── BadNote · BadCheckpoint · BadProof · BadReceipt · InconsistentLog · NewEpoch · Unverified · Withheld · Unpinned
└── Trouble                      the agency's own side needs attention
    └── HubUnreachable · IdentityLocked · BadIdentity · BadSettings · BadPolicy · LogHalted · LogBehind · SealedToOldKey
"""

from __future__ import annotations

import re
from typing import ClassVar

PROBLEM_TYPE_PREFIX = "tag:lintas.example,2026:"


def kebab(name: str) -> str:
    """Turn a class name into its code: ``TooLarge`` becomes ``too-large``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


class LintasError(Exception):
    """Something went wrong in Lintas. Read the detail."""

    code: ClassVar[str] = "lintas-error"

    def __init_subclass__(cls) -> None:
        cls.code = kebab(cls.__name__)

    def __init__(self, detail: str = "", *, member: str | None = None, **extra: str | int) -> None:
        """Keep `detail` (one sentence), `member` (the offending JSON member) and problem extension members."""
        super().__init__(detail or self.title())
        self.detail = detail
        self.member = member
        self.extra = extra
        self.is_logged = False

    @classmethod
    def title(cls) -> str:
        """Return the docstring as one line: what happened, what to do next."""
        return " ".join((cls.__doc__ or cls.__name__).split())

    def problem(self) -> dict[str, str | int]:
        """Return the RFC 9457 members other than ``status``."""
        told = {"detail": self.detail or None, "member": self.member}
        members = {"type": PROBLEM_TYPE_PREFIX + self.code, "title": self.title()}
        return {**members, **{name: value for name, value in told.items() if value is not None}, **self.extra}


class Refusal(LintasError):
    """The hub refused this. The detail says why; correct it and send again."""


class MalformedLine(Refusal):
    """These bytes are not one strict signed line. Sign again with a Lintas client; see docs/spec/line.md."""


class WrongType(Refusal):
    """This kind of line does not belong at this endpoint. Send it where its `typ` says."""


class MalformedPayload(Refusal):
    """The payload does not follow its schema. Correct the member named and sign again; see docs/spec/bulletin.md."""


class BadRequest(Refusal):
    """The request is not well formed. Correct the parameter named and try again."""


class BadSignature(Refusal):
    """The signature does not belong to these bytes and this key. Sign the line again with your active key."""


class UnknownKey(Refusal):
    """The hub knows no such key for this issuer. Check `kid` and `iss`; enrol the key first if it is new."""


class KeyNotActive(Refusal):
    """This key may not sign now. Use the agency's active key, or ask an admin to approve this one."""


class WeakKey(Refusal):
    """This public key is not sound. Make a new one with `lintas enrol` or `lintas rotate`."""


class BadInvite(Refusal):
    """The invitation does not fit: wrong code, used, expired, or tried too often. Ask an admin for a new one."""


class Stale(Refusal):
    """This line was signed more than 24 hours ago and never accepted. Sign it anew and send it again."""


class FromTheFuture(Refusal):
    """This line is dated in the future. Set your clock right and sign again."""


class Expired(Refusal):
    """The time this line was good for is over. Sign one that expires later."""


class ForeignLine(Refusal):
    """This line was signed for another hub. Sign it with `aud` set to this hub's name."""


class FormerEpoch(Refusal):
    """A former epoch of the log took this line. Only its issuer brings it back, with its receipt: `lintas resend`."""


class UnknownRecipient(Refusal):
    """A recipient is not a partner of this hub. Remove it from `release_to`; `lintas partners` lists them."""


class TopicNotGranted(Refusal):
    """Your agency may not publish on this topic. Choose a granted topic or ask an admin for the grant."""


class TlpAboveCeiling(Refusal):
    """This marking is above what your agency may publish here. Ask an admin to raise the ceiling."""


class RedNeedsSealing(Refusal):
    """TLP:RED content must be sealed to its recipients. Sign it with a Lintas client, which seals it."""


class NoOpeningKey(Refusal):
    """A recipient has no current opening key, so nothing can be sealed to it. It runs `lintas rotate --opening`."""


class WrongOpeningKeys(Refusal):
    """This is not sealed to exactly the current opening keys of its recipients and issuer. Sync, then seal again."""


class DataProtection(Refusal):
    """This would share person data in a way the rules forbid. Change what the detail names and sign again."""


class PurposeNeeded(Refusal):
    """This bulletin may hold person data. Say why you open it: `--purpose CODE --case-ref REFERENCE`."""


class CursorBeyondLog(Refusal):
    """The log has not reached this cursor, so nothing can be served from it. Begin from a cursor this hub gave you."""


class QuotaExceeded(Refusal):
    """Your agency has used up what it may ask here for now. Wait until `Retry-After`, or end what is not needed."""


class RateLimited(Refusal):
    """Too much came from your agency or your address in a short time. Send the same again after `Retry-After`."""


class UnknownWitness(Refusal):
    """None of these cosignatures is by a witness of this hub. Ask its operator to add your key to the policy."""


class NotWitnessed(Refusal):
    """Too few witnesses have cosigned a checkpoint over this so far. Ask again later, or do without `witnessed`."""


class RefUnavailable(Refusal):
    """A line named in `refs` does not exist, is not readable by you, or is not yours to change. Check the id."""


class RecipientsTooFew(Refusal):
    """Somebody whom this must reach is not a recipient: a holder of what it withdraws, or whoever asked. Add them."""


class PartnerSuspended(Refusal):
    """Your agency is suspended at this hub. Recalls still work; contact an administrator for the rest."""


class NotAllowed(Refusal):
    """Your key may not do this. Ask an administrator who may."""


class OrderConflict(Refusal):
    """The order does not fit the present state, so nothing was changed. Look at the state and order again."""


class LifeTooLong(Refusal):
    """A signing key lives at most 13 months, an opening key 90 days. Choose another window and sign again."""


class Unauthorized(Refusal):
    """A valid read token is needed. Make one with `lintas token` and send it as `Authorization: Bearer`."""


class NotFound(Refusal):
    """There is nothing here that you may see. Check the id or the address."""


class Recalled(Refusal):
    """Its originator recalled this bulletin. Stop using it; the recall is named in `by`."""


class Superseded(Refusal):
    """Its originator replaced this bulletin. Use the newer one named in `by`."""


class NoLongerValid(Refusal):
    """The validity of this bulletin is over. Ask its originator whether it still stands."""


class Purged(Refusal):
    """The content of this bulletin was purged after its end. A receipt made before still proves that it was logged."""


class TooLarge(Refusal):
    """This is larger than the hub takes. Shorten it, or send fewer lines at once; the limit is in the detail."""


class UnsupportedMediaType(Refusal):
    """The hub does not take this content type or encoding here. Send the type named in the detail, uncompressed."""


class NotAcceptable(Refusal):
    """The hub has no form of this that you accept. Name the type in the detail, or `*/*`, in `Accept`."""


class MethodNotAllowed(Refusal):
    """This address does not take this method. See the OpenAPI document at /docs."""


class RequestTimeout(Refusal):
    """The request body came too slowly. Send it again."""


class Busy(Refusal):
    """The hub has more work queued than it may hold. Send the same bytes again after `Retry-After` seconds."""


class ReadOnly(Refusal):
    """The hub accepts nothing at present: its log is halted for inspection. Keep the line; send it again later."""


class StorageUnreachable(Refusal):
    """The hub cannot reach its storage; nothing was acknowledged. Send the same bytes again after `Retry-After`."""


class StorageFull(Refusal):
    """The hub has no room left; nothing was acknowledged. Keep the line, tell the operator, send it again later."""


class InternalError(Refusal):
    """The hub failed; nothing was acknowledged. Send the same bytes again, and tell the operator if it persists."""


class Evidence(LintasError):
    """What the hub showed does not prove what it claims. Nothing was accepted; keep the bytes and raise an alarm."""


class BadNote(Evidence):
    """This is not a signed note by the pinned key. Compare the log key with your administrator's."""


class BadCheckpoint(Evidence):
    """This checkpoint is malformed or of another log. Compare origin and key with your administrator's."""


class BadProof(Evidence):
    """This Merkle proof does not hold. Fetch it again; if it fails again, raise an alarm and keep the bytes."""


class BadReceipt(Evidence):
    """This receipt does not prove this line. Fetch it again; if it fails again, raise an alarm and keep both."""


class InconsistentLog(Evidence):
    """The hub's log no longer contains what it showed before. Stop using this hub, keep the state, raise an alarm."""


class NewEpoch(Evidence):
    """The hub shows another epoch of its log. Believe nothing of it before you asked people: see `lintas epoch`."""


class Unverified(Evidence):
    """This bulletin could not be verified and is not shown. Keep the bytes and ask the originator."""


class Withheld(Evidence):
    """The log says a bulletin was released to you and the hub did not deliver it. Raise an alarm; ask its issuer."""


class Unpinned(Evidence):
    """No log key is pinned for this hub. Get it from an administrator over another channel, then enrol again."""


class Trouble(LintasError):
    """Something on this machine needs attention. The detail says what."""


class HubUnreachable(Trouble):
    """The hub did not answer. What was signed is kept in the outbox; try again, the same bytes will be sent."""


class IdentityLocked(Trouble):
    """The passphrase does not open this identity file. Check LINTAS_PASSPHRASE_FILE or type it again."""


class BadIdentity(Trouble):
    """This is not an identity file of this version. Check LINTAS_IDENTITY, or enrol again."""


class BadSettings(Trouble):
    """A setting is missing or wrong. Set the one named in the detail; docs/operate.md lists them all."""


class BadPolicy(Trouble):
    """This is not a sound tlog-policy for this log. Correct the line named; docs/spec/log.md has the format."""


class SealedToOldKey(Trouble):
    """This is sealed to an opening key you no longer hold. Ask its originator to run `lintas reseal`."""


class LogHalted(Trouble):
    """The stored log does not match its own hashes. Nothing is signed; run `lintas-broker fsck` and do not delete."""


class LogBehind(Trouble):
    """The database lacks rows that a published checkpoint covers. Restore a newer backup; see docs/operate.md."""


STATUS: dict[type[LintasError], int] = {
    MalformedLine: 400,
    WrongType: 400,
    MalformedPayload: 400,
    BadRequest: 400,
    Unauthorized: 401,
    BadSignature: 403,
    UnknownKey: 403,
    KeyNotActive: 403,
    BadInvite: 403,
    TopicNotGranted: 403,
    TlpAboveCeiling: 403,
    PartnerSuspended: 403,
    PurposeNeeded: 403,
    NotAllowed: 403,
    UnknownWitness: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    RequestTimeout: 408,
    OrderConflict: 409,
    FormerEpoch: 409,
    CursorBeyondLog: 409,
    NotWitnessed: 409,
    Recalled: 410,
    Superseded: 410,
    NoLongerValid: 410,
    Purged: 410,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    WeakKey: 422,
    Stale: 422,
    FromTheFuture: 422,
    Expired: 422,
    ForeignLine: 422,
    UnknownRecipient: 422,
    RedNeedsSealing: 422,
    NoOpeningKey: 422,
    WrongOpeningKeys: 422,
    DataProtection: 422,
    RefUnavailable: 422,
    RecipientsTooFew: 422,
    LifeTooLong: 422,
    QuotaExceeded: 429,
    RateLimited: 429,
    InternalError: 500,
    Busy: 503,
    ReadOnly: 503,
    StorageUnreachable: 503,
    StorageFull: 507,
}
"""Every refusal the hub answers with, and its HTTP status."""

BY_CODE: dict[str, type[LintasError]] = {kind.code: kind for kind in STATUS}
