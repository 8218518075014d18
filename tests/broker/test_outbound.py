"""Calling out over real TLS: which address is called, as whom, how much is taken, what is let go."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker import outbound
from broker.outbound import ANSWER_BYTES_MAX, Answer, Outbound
from broker.reach import read_allowed
from lintas.webhooks import read_url
from tests.receiver import Got, Receiver, Told

LOOPBACK = "127.0.0.1"


class Authority:
    """A certificate authority that only this test trusts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fictional test authority")])
        self._path = folder / "ca.pem"
        self._path.write_bytes(self._certificate(self._name, self._key, None).public_bytes(serialization.Encoding.PEM))

    def trust(self) -> ssl.SSLContext:
        """Return what a client needs that trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self._path))

    def serve(self, *names: str) -> ssl.SSLContext:
        """Return what a server of these names needs."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(x509.Name([]), key, names)
        path = self._folder / f"{names[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, names: Sequence[str] | None
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is None:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            general = [_general(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=True)
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority of this test's own."""
    return Authority(tmp_path)


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    """A receiver that proves to be receiver.example over TLS."""
    with Receiver(tls=authority.serve("receiver.example")) as found:
        yield found


def call(out: Outbound, url: str, *, headers: dict[str, str] | None = None) -> Answer:
    """Make one call."""

    async def post() -> Answer:
        return await out.post(read_url(url), headers or {}, b"body")

    try:
        return asyncio.run(post())
    finally:
        out.close()


def at_loopback(_host: str, _port: int) -> list[str]:
    """Answer as a name server that says: this machine."""
    return [LOOPBACK]


def test_called_by_name(authority: Authority, receiver: Receiver) -> None:
    """The connection goes to the address; TLS and the Host header carry the name."""
    allow = read_allowed(f"{LOOPBACK}/32:{receiver.port}")
    out = Outbound(allow, names=at_loopback, tls=authority.trust())

    answer = call(out, f"https://receiver.example:{receiver.port}/a?b=c%20d")

    (got,) = receiver.got
    assert 204 == answer.status
    assert ("/a?b=c%20d", f"receiver.example:{receiver.port}", b"body") == (got.path, got.headers["host"], got.body)


def test_certificate_of_another_name(authority: Authority, receiver: Receiver) -> None:
    """A certificate that is good for another name than the one ordered is refused, and nothing is sent."""
    allow = read_allowed(f"{LOOPBACK}/32:{receiver.port}")
    out = Outbound(allow, names=at_loopback, tls=authority.trust())

    answer = call(out, f"https://other.example:{receiver.port}/")

    assert (Answer(0), []) == (answer, receiver.got)


def test_unknown_authority(receiver: Receiver) -> None:
    """A certificate of an authority that the system does not trust is refused."""
    out = Outbound(read_allowed(f"{LOOPBACK}/32:{receiver.port}"), names=at_loopback)

    assert Answer(0) == call(out, f"https://receiver.example:{receiver.port}/")


def test_certificate_of_an_address(authority: Authority) -> None:
    """An address in figures is proven by a certificate for it."""
    with Receiver(tls=authority.serve(LOOPBACK)) as receiver:
        out = Outbound(read_allowed(f"{LOOPBACK}:{receiver.port}"), tls=authority.trust())

        answer = call(out, f"https://{LOOPBACK}:{receiver.port}/")

    assert 204 == answer.status


def test_rebinding(authority: Authority, receiver: Receiver) -> None:
    """A name is asked once, and the connection goes to what was judged, whatever the name would say a moment later."""
    answers = [[LOOPBACK], ["10.0.0.1"]]
    allow = read_allowed(f"{LOOPBACK}/32:{receiver.port}")
    out = Outbound(allow, names=lambda _host, _port: answers.pop(0), tls=authority.trust())

    answer = call(out, f"https://receiver.example:{receiver.port}/")

    assert (204, 1, [["10.0.0.1"]]) == (answer.status, len(receiver.got), answers)


@pytest.mark.parametrize(
    "addresses",
    [[LOOPBACK], ["::1"], ["::ffff:127.0.0.1"], ["93.184.216.34", LOOPBACK], ["169.254.169.254"], ["10.0.0.1"], []],
)
def test_resolves_inside(authority: Authority, receiver: Receiver, addresses: list[str]) -> None:
    """A name that resolves to an address of this machine or network, even beside a public one, is not called."""
    out = Outbound((), names=lambda _host, _port: addresses, tls=authority.trust())

    assert (Answer(0), []) == (call(out, f"https://receiver.example:{receiver.port}/"), receiver.got)


def test_no_such_name() -> None:
    """A name that does not resolve gives the same answer as one that may not be called."""

    def names(_host: str, _port: int) -> list[str]:
        raise OSError

    assert Answer(0) == call(Outbound((), names=names), "https://nowhere.example/")


def test_next_address(authority: Authority, receiver: Receiver) -> None:
    """When nobody listens at the first address of a name, the next one is tried."""
    allow = read_allowed(f"127.0.0.0/8:{receiver.port}")
    out = Outbound(allow, names=lambda _host, _port: ["127.0.0.99", LOOPBACK], tls=authority.trust())

    assert 204 == call(out, f"https://receiver.example:{receiver.port}/").status


def test_system_names() -> None:
    """The system's own resolver gives each address once."""
    assert [LOOPBACK] == outbound.resolve(LOOPBACK, 443)


def plain(receiver: Receiver) -> Outbound:
    """Return what may call a receiver without TLS."""
    return Outbound(read_allowed(f"{LOOPBACK}:{receiver.port}"))


def test_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used: it would be told the address, and connect where it likes."""
    with Receiver() as receiver, Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{LOOPBACK}:{proxy.port}")

        answer = call(plain(receiver), receiver.url)

    assert (204, 1, []) == (answer.status, len(receiver.got), proxy.got)


def test_redirect() -> None:
    """A redirect is an answer like any other."""
    with Receiver() as receiver, Receiver() as other:
        receiver.answer = lambda _got: Told(302, headers={"Location": other.url})

        answer = call(plain(receiver), receiver.url)

    assert (302, []) == (answer.status, other.got)


def test_cookies_are_forgotten() -> None:
    """A cookie that a receiver sets is not sent back."""
    with Receiver() as receiver:
        receiver.answer = lambda _got: Told(headers={"Set-Cookie": "a=b; Path=/"})
        call(plain(receiver), receiver.url)
        call(plain(receiver), receiver.url)

    assert [False, False] == ["cookie" in got.headers for got in receiver.got]


def test_long_answer() -> None:
    """Of a long answer only the first bytes are taken."""
    with Receiver() as receiver:
        receiver.answer = lambda _got: Told(200, b"x" * 10_000_000)

        answer = call(plain(receiver), receiver.url)

    assert Answer(200, b"x" * ANSWER_BYTES_MAX) == answer


def test_slow_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not answer in time is let go."""
    monkeypatch.setattr(outbound, "CALL_S_MAX", 0.3)
    released = threading.Event()

    def answer(_got: Got) -> Told:
        released.wait(5)
        return Told()

    with Receiver(answer) as receiver:
        begun = time.monotonic()
        found = call(plain(receiver), receiver.url)
        took_s = time.monotonic() - begun
        released.set()

    assert Answer(0) == found
    assert took_s < 2


def test_slow_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer counts against the same time."""
    monkeypatch.setattr(outbound, "CALL_S_MAX", 0.3)
    released = threading.Event()

    def names(_host: str, _port: int) -> list[str]:
        released.wait(5)
        return [LOOPBACK]

    async def post() -> tuple[Answer, float]:
        begun = time.monotonic()
        found = await out.post(read_url("https://slow.example/"), {}, b"")
        return found, time.monotonic() - begun

    out = Outbound((), names=names)
    found, took_s = asyncio.run(post())
    released.set()
    out.close()

    assert Answer(0) == found
    assert took_s < 2


def test_not_http(receiver: Receiver) -> None:
    """What does not answer in HTTP counts as no answer."""
    assert Answer(0) == call(plain(receiver), receiver.url)


@pytest.mark.parametrize(("asked", "expected"), [("120", 120), ("-1", None), ("1.5", None), ("9" * 12, None)])
def test_retry_after(asked: str, expected: int | None) -> None:
    """Retry-After counts in seconds alone."""
    with Receiver() as receiver:
        receiver.answer = lambda _got: Told(503, headers={"Retry-After": asked})

        answer = call(plain(receiver), receiver.url)

    assert Answer(503, b"", expected) == answer
