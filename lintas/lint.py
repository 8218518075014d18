"""Data-protection checks of a bulletin before it is signed or accepted.

What is well formed may still do harm: a victim named to a whole region, a card number in a sentence that no index can
purge. Each rule has a code, a reason, a way out. A finding that refuses stops the bulletin at its sender's client and
again at the hub; one that warns is shown, its code logged. A recall is only ever warned: nothing may stop it.
Promises: cost is linear in the text; no finding repeats what it found. Not promised: that somebody who wants to get a
value past it cannot. It is a net for mistakes.
Spec: docs/spec/lint.md; ISO/IEC 7812 (cards), ICAO 9303 (documents), ISO 13616 (IBAN), FIRST TLP 2.0.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lintas.bulletin import Bulletin, Indicator
from lintas.errors import DataProtection
from lintas.header import WIDE_TLP
from lintas.indicators.checksums import luhn_digit, mod97
from lintas.indicators.countries import ICAO_ISSUERS
from lintas.stix.fixed import MARKINGS
from lintas.vocabulary import TLP, load, tlp_rank

REFUSE = "refuse"
WARN = "warn"

PROTECTED_ROLES = frozenset({"victim", "witness", "missing"})
SEARCH_KINDS = frozenset({"missing", "lookout", "sighting"})
"""Kinds by which a missing person is searched for: naming them is the purpose."""

IDENTITY_TYPES = frozenset({"person", "travel-document"})
"""Types that are one person, whatever else is said."""

CSAM_TOPIC = "cyber.csam"
HASH_TYPE = "file-hash"
MINOR = "minor"
RECALL = "recall"
QUOTING = ("answers", "endorses", "comments")
"""Relations that may carry on what another wrote. Who recalls or supersedes is its originator, free to mark it anew."""

RULES: Mapping[str, str] = {
    "person-without-role": "A person is named without saying what part they have, so readers will take them for a "
    "suspect. Give the indicator a `person_role`.",
    "red-to-community": "RED is for persons that its sender knows by name; a community is a crowd that changes. Remove "
    "`communities` and name the posts.",
    "protected-person": "A victim, witness or missing person is put at risk by every desk that learns of them. Leave "
    "them out, refer to your case, or send it AMBER+STRICT to those who protect them; search for somebody missing with "
    "kind `missing` and role `missing`.",
    "minor-named": "A child is identified. Leave the identity out and let those who need it ask for it by your case "
    "reference; search for a missing child with kind `missing` and role `missing`.",
    "card-in-text": "A payment card number in text can neither be matched nor purged, and whoever reads it can use it. "
    "Put it into an indicator of type `payment-card`.",
    "document-in-text": "A travel document in text can neither be matched nor purged. Put it into an indicator of type "
    "`travel-document`, a name into one of type `person`.",
    "account-in-text": "An account number in text can neither be matched nor purged. Put it into an indicator of type "
    "`iban`.",
    "narrower-quoted": "It quotes what another marking keeps closer, and would let readers pass that on. Raise the "
    "marking, or remove the quoted part; to speak of a marking without quoting, leave out the prefix `TLP:`.",
    "csam-not-hash": "Child sexual abuse material is shared by hash alone, so that nobody is led to it. Keep "
    "indicators of type `file-hash`, remove the others and every link.",
}
"""Every rule: why, and the way out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: the rule's `code`, whether it refuses or warns, the path of the payload member at fault."""

    code: str
    level: str
    member: str

    @property
    def text(self) -> str:
        """The rule's reason and way out."""
        return RULES[self.code]


def lint(content: Bulletin, *, topic: str, tlp: str) -> tuple[Finding, ...]:
    """Return what is found in a clear payload with this header topic and marking, each rule and member once."""
    wide = tlp in WIDE_TLP
    found = [
        *_persons(content, wide=wide),
        *_stix(content, tlp),
        *(finding for path, text in _texts(content) for finding in _text(path, text, tlp)),
    ]
    if tlp == "RED" and content.communities:
        found.append(Finding("red-to-community", REFUSE, "communities"))
    if CSAM_TOPIC in (topic, *content.topics):
        found += _csam(content)
    return _judged(found, content.kind)


def lint_quoted(kind: str, tlp: str, quoted: Collection[str]) -> tuple[Finding, ...]:
    """Return what is found in the references: `quoted` are the markings of what it answers, endorses or comments on."""
    if all(tlp_rank(each) <= tlp_rank(tlp) for each in quoted):
        return ()
    return _judged([Finding("narrower-quoted", _level(wide=tlp in WIDE_TLP), "refs")], kind)


def refuse(findings: Iterable[Finding]) -> None:
    """Raise DataProtection for the first finding that refuses."""
    for each in findings:
        if each.level == REFUSE:
            raise DataProtection(each.text, member=each.member, rule=each.code)


def codes(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the sorted codes of what was found."""
    return tuple(sorted({each.code for each in findings}))


def _judged(found: list[Finding], kind: str) -> tuple[Finding, ...]:
    once = dict.fromkeys(found)
    return tuple(replace(each, level=WARN) if kind == RECALL else each for each in once)


def _level(*, wide: bool) -> str:
    return REFUSE if wide else WARN


def _persons(content: Bulletin, *, wide: bool) -> Iterator[Finding]:
    personal = load().indicator_types
    concerns_child = MINOR in content.caveats
    for number, each in enumerate(content.indicators):
        path = f"indicators[{number}]"
        if each.name is not None and each.person_role is None and personal[each.type].is_personal:
            yield Finding("person-without-role", REFUSE if each.type in IDENTITY_TYPES else WARN, f"{path}.person_role")
        found = _identity(each, content.kind, wide=wide, concerns_child=concerns_child)
        if found is not None:
            yield Finding(*found, path)


def _identity(each: Indicator, kind: str, *, wide: bool, concerns_child: bool) -> tuple[str, str] | None:
    if each.person_role == "missing" and kind in SEARCH_KINDS:
        return ("protected-person", WARN) if wide else None
    if each.person_role in PROTECTED_ROLES:
        return "protected-person", _level(wide=wide)
    if not concerns_child:
        return None
    if each.person_role == "unknown" or (each.person_role is None and each.type in IDENTITY_TYPES):
        return "minor-named", _level(wide=wide)
    # A suspect in a case that concerns a child is usually not the child; only the sender knows.
    return ("minor-named", WARN) if wide and each.type in IDENTITY_TYPES else None


def _stix(content: Bulletin, tlp: str) -> Iterator[Finding]:
    objects: Sequence[Mapping[str, object]] = content.stix["objects"] if content.stix else ()
    for number, each in enumerate(objects):
        path = f"stix.objects[{number}]"
        if each["type"] == "identity" and each.get("identity_class") == "individual":
            yield Finding("person-without-role", REFUSE, path)
        refs = each.get("object_marking_refs")
        marked = (MARKINGS.get(str(ref), TLP[0]) for ref in refs) if isinstance(refs, list) else ()
        if any(tlp_rank(found) > tlp_rank(tlp) for found in marked):
            yield Finding("narrower-quoted", _level(wide=tlp in WIDE_TLP), path)


def _csam(content: Bulletin) -> Iterator[Finding]:
    for number, each in enumerate(content.indicators):
        if each.type != HASH_TYPE:
            yield Finding("csam-not-hash", REFUSE, f"indicators[{number}]")
    for path, text in _texts(content):
        if _LINK.search(text):
            yield Finding("csam-not-hash", REFUSE, path)


def _texts(content: Bulletin) -> Iterator[tuple[str, str]]:
    """Yield path and text of everything that people wrote freely."""
    purpose, event = content.purpose, content.event
    alone = {
        "title": content.title,
        "summary": content.summary,
        "case_ref": content.case_ref,
        "handling_note": content.handling_note,
        "event.place": event.place if event else None,
        "purpose.statement": purpose.statement if purpose else None,
        "purpose.legal_basis": purpose.legal_basis if purpose else None,
    }
    yield from ((path, text) for path, text in alone.items() if text)
    for name, texts in (("questions", content.questions), ("references", content.references)):
        yield from ((f"{name}[{number}]", text) for number, text in enumerate(texts))
    for number, each in enumerate(content.indicators):
        named = (("role", each.role), ("name", each.name), ("asset", each.asset), ("note", each.note))
        yield from ((f"indicators[{number}].{name}", text) for name, text in named if text)


def _text(path: str, text: str, tlp: str) -> Iterator[Finding]:
    plain = text if text.isascii() else _ascii_digits(text)
    # Nearly every text ends at one of these counts: patterns over all of it cost more than a check of a signature.
    data = plain.encode(errors="replace")
    digits = len(data) - len(data.translate(None, b"0123456789"))
    if digits >= CARD_DIGITS_MIN and any(map(_is_card, _card_candidates(plain))):
        yield Finding("card-in-text", REFUSE, path)
    if _has_document(plain, digits):
        yield Finding("document-in-text", WARN, path)
    if digits >= IBAN_DIGITS_MIN and any(_is_iban(plain, found.start()) for found in _IBAN_START.finditer(plain)):
        yield Finding("account-in-text", WARN, path)
    if _has_narrower(plain, tlp):
        yield Finding("narrower-quoted", _level(wide=tlp in WIDE_TLP), path)


def _ascii_digits(text: str) -> str:
    # Khmer, Thai or Burmese desks may write their own digits, with spaces that do not show between words.
    shown = text.translate(_SPACES)
    return _LOCAL_DIGIT.sub(lambda found: str(unicodedata.decimal(found[0])), shown)


def _card_candidates(text: str) -> Iterator[str]:
    """Yield every row of digits of a card's length: unbroken, or in groups as cards are printed."""
    for run in _DIGITS.finditer(text):
        groups = _GROUP.findall(run[0])
        for first in range(len(groups)):
            digits = ""
            for group in groups[first : first + CARD_GROUPS_MAX]:
                digits += group
                if len(digits) > CARD_DIGITS_MAX:
                    break
                if len(digits) >= CARD_DIGITS_MIN:
                    yield digits
                if len(group) < CARD_GROUP_DIGITS_MIN:
                    # Only the last group of a card is shorter.
                    break


def _is_card(digits: str) -> bool:
    return _CARD.fullmatch(digits) is not None and int(digits[-1]) == luhn_digit(digits[:-1])


def _has_document(text: str, digits: int) -> bool:
    if "<<" in text and _ZONE.search(text):
        return True
    # Searching for a plain word is many times faster than a pattern, and most texts have none of these.
    if digits >= DOCUMENT_DIGITS_MIN and _has_document_word(text.lower()) and _NUMBERED.search(text):
        return True
    return bool(digits) and ":" in text and any(each in ICAO_ISSUERS for each in _CANONICAL_DOCUMENT.findall(text))


def _has_document_word(lower: str) -> bool:
    return any(word in lower for word in DOCUMENT_WORDS)


def _has_narrower(text: str, tlp: str) -> bool:
    found = _MARKING.findall(text) if "tlp" in text.lower() else ()
    return any(tlp_rank(each.upper()) > tlp_rank(tlp) for each in found)


def _is_iban(text: str, start: int) -> bool:
    if text[max(start - 1, 0) : start].isalnum():
        return False
    packed = text[start : start + IBAN_SPAN_MAX].replace(" ", "")
    length = IBAN_CHARACTERS.get(packed[:2], 0)
    iban = packed[:length]
    return len(iban) == length > 0 and iban.isalnum() and iban.isupper() and mod97(iban[4:] + iban[:4]) == 1


CARD_DIGITS_MIN = 13
CARD_DIGITS_MAX = 19
CARD_GROUPS_MAX = 5
CARD_GROUP_DIGITS_MIN = 3
IBAN_DIGITS_MIN = 2
"""Its check digits."""

DOCUMENT_DIGITS_MIN = 4
IBAN_SPAN_MAX = 42
"""The longest IBAN (34) with a space after every fourth character."""

IBAN_CHARACTERS: Mapping[str, int] = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE", "BI"), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "SD"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"), 20),
    **dict.fromkeys(("CH", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "OM", "SO", "TL"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    "LC": 32,
    "RU": 33,
}
"""Characters of an IBAN by country, from the ISO 13616 registry: text has no end where the number has one."""

_MARKING = re.compile(r"\bTLP[ :_-]{1,3}(AMBER\+STRICT|AMBER|RED)\b", re.IGNORECASE)
_LINK = re.compile(r"\b(?:h[tx]{2}ps?|ftp)\b[\[\]]?:|\bwww\.|\.onion\b", re.IGNORECASE)
_LOCAL_DIGIT = re.compile(r"(?![0-9])\d")
_SPACES = dict.fromkeys([0xA0, 0x2007, 0x2009, 0x202F], " ") | dict.fromkeys([0xAD, *range(0x200B, 0x200E), 0x2060])
_DIGITS = re.compile(r"[0-9]+(?:[ .-][0-9]+)*")
_GROUP = re.compile(r"[0-9]+")
_CARD = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2}|62[0-9]{2}|81[0-9]{2}|35(?:2[89]|[3-8][0-9]))[0-9]{12,15}"  # Discover to JCB
    r"|(?:50|5[6-8]|63|67)[0-9]{14,17}"  # Maestro
)
_IBAN_START = re.compile(r"[A-Z]{2}[0-9]{2}(?= ?[A-Z0-9])")
_ZONE = re.compile(r"[A-Z0-9]<{2,}[A-Z0-9]")
"""A name field of a machine-readable zone, or its filler."""

_CANONICAL_DOCUMENT = re.compile(r"\b([A-Z]{3}):(?=[A-Z]{0,2}[0-9])[A-Z0-9]{6,20}\b")
"""Our own spelling of a document, issuer and number: ``UTO:X90217734``."""

DOCUMENT_WORDS = ("passport", "travel document", "paspor", "pasport", "h\u1ed9 chi\u1ebfu")
_NUMBERED = re.compile(
    rf"\b(?:{'|'.join(DOCUMENT_WORDS)})\b[^\n]{{0,20}}?\b(?=[A-Z0-9]{{0,6}}[0-9]{{4}})[A-Z0-9]{{6,9}}\b", re.IGNORECASE
)
