"""Values that lead to machines: names, addresses, locations, mailboxes, files.

Spec: IDNA 2008 (RFC 5891, with the mapping of UTS 46), RFC 1035, RFC 3986, RFC 3987, RFC 4291, RFC 5321, RFC 5952.
"""

from __future__ import annotations

import ipaddress
import re
import string
from urllib.parse import quote

import idna

from lintas.indicators.spelling import malformed, only, plain, sized

DOMAIN_CHARACTERS_MAX = 253
LABEL_CHARACTERS_MAX = 63
MAILBOX_CHARACTERS_MAX = 64
EMAIL_CHARACTERS_MAX = 254
PORT_MAX = 65535
HASH_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21", "ws": "80", "wss": "443"}

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31})://(?:([^/?#@]*)@)?([^/?#@]*)(/[^?#]*)?(\?[^#]*)?(#.*)?")
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_NEVER_BARE = re.compile(r'[\x00-\x20\x7f"<>\\^`{|}\ud800-\udfff]')
_PERCENT = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_RESERVED = ":/?#[]@!$&'()*+,;="
_ATOM = frozenset(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-.")


def domain(value: str) -> str:
    """A-labels in small letters, at least two, without a final dot. Underscores are taken: malware uses them."""
    text = plain(value).translate(_DOTS).lower().removesuffix(".")
    labels = _a_labels(text).split(".")
    for label in labels:
        sized(label, 1, LABEL_CHARACTERS_MAX, "label of the domain")
        if not _LABEL.fullmatch(label):
            raise malformed(f"The label {label[:20]!r} may hold letters, digits and inner hyphens only.")
    if len(labels) == 1 or labels[-1].isdigit():
        raise malformed("A domain has at least two labels, the last with a letter; use type ip for an address.")
    return sized(".".join(labels), 1, DOMAIN_CHARACTERS_MAX, "domain")


def ip(value: str) -> str:
    """An IPv4 or IPv6 address in its compressed form; an IPv4 address mapped into IPv6 is written as IPv4."""
    text = plain(value)
    try:
        address = ipaddress.ip_address(text)
    except ValueError as fault:
        raise malformed(f"{text[:50]!r} is no IP address: {_reason(fault)}.") from fault
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise malformed("The zone after % means something on one machine only; leave it out.")
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
    return str(address)


def url(value: str) -> str:
    """Scheme and host in small letters, no default port, other characters percent-encoded (RFC 3986 section 6)."""
    found = _URL.fullmatch(value.strip())
    if found is None:
        raise malformed("A URL is written SCHEME://HOST/PATH, for example https://scam.example/login.")
    scheme, user, authority, path, query, fragment = found.groups(default="")
    scheme = scheme.lower()
    user = f"{_encoded(user)}@" if user else ""
    return f"{scheme}://{user}{_host(authority, scheme)}{_encoded(path or '/')}{_encoded(query)}{_encoded(fragment)}"


def email(value: str) -> str:
    """Mailbox as it is written, domain as for type domain."""
    mailbox, at, host = plain(value).rpartition("@")
    if not at:
        raise malformed("An e-mail address is written MAILBOX@DOMAIN: the @ is missing.")
    sized(only(mailbox, _ATOM, "mailbox"), 1, MAILBOX_CHARACTERS_MAX, "mailbox")
    if mailbox.startswith(".") or mailbox.endswith(".") or ".." in mailbox:
        raise malformed("A dot in the mailbox stands between two other characters.")
    return sized(f"{mailbox}@{domain(host)}", 1, EMAIL_CHARACTERS_MAX, "e-mail address")


def file_hash(value: str) -> str:
    """MD5, SHA-1, SHA-256 or SHA-512 in small hex digits; ``sha256:`` and the like are checked, then left out."""
    name, colon, rest = plain(value).lower().partition(":")
    text = only(rest if colon else name, string.hexdigits, "hash")
    wanted = HASH_DIGITS.get(name.replace("-", ""))
    if colon and wanted is None:
        raise malformed(f"{name[:20]!r} is none of {', '.join(HASH_DIGITS)}.")
    if len(text) not in ([wanted] if wanted else HASH_DIGITS.values()):
        lengths = "32 (MD5), 40 (SHA-1), 64 (SHA-256) or 128 (SHA-512)"
        raise malformed(f"The hash has {len(text)} hex digits; {wanted or lengths} are needed.")
    return text


def _a_labels(text: str) -> str:
    try:
        if text.isascii():
            for label in text.split("."):
                if label.startswith("xn--"):
                    idna.ulabel(label)
            return text
        return idna.encode(text, uts46=True).decode("ascii")
    except idna.IDNAError as fault:
        raise malformed(f"This is no internationalised domain: {_reason(fault)}.") from fault


def _host(authority: str, scheme: str) -> str:
    found = _HOST.fullmatch(authority)
    if found is None:
        raise malformed(f"{authority[:50]!r} is no host with an optional port.")
    host, port = found[1], (found[2] or "").lstrip("0")
    if port and int(port) > PORT_MAX:
        raise malformed(f"Ports end at {PORT_MAX}.")
    suffix = f":{port}" if port and port != DEFAULT_PORTS.get(scheme) else ""
    return f"{_host_name(host)}{suffix}"


def _host_name(host: str) -> str:
    if host.startswith("["):
        address = ip(host[1:-1])
        return f"[{address}]" if ":" in address else address
    if re.fullmatch(r"[0-9.]+", host):
        return ip(host)
    return domain(host)


def _encoded(text: str) -> str:
    bare = _NEVER_BARE.search(text)
    if bare:
        raise malformed(f"{bare[0]!r} (character {bare.start() + 1} of {text[:30]!r}) must be percent-encoded.")
    # A percent sign that begins no code stays out: nobody can tell what was meant.
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise malformed(f"A percent sign in {text[:30]!r} is followed by something else than two hex digits.")
    return _PERCENT.sub(_percent, quote(text, safe=_UNRESERVED + _RESERVED + "%"))


def _percent(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def _reason(fault: Exception) -> str:
    return " ".join(str(fault).split())[:160].rstrip(".")
