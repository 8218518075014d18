"""Making what an exercise in containers must keep secret: files only, each for its readers alone.

Run once as a job: ``python make_secrets.py FOLDER``. What is there already stays, so that it may run again. It writes

    database/password   the password of the database's role, for the server
    hub-1/, hub-2/      pgpass, the same for each replica
    tls/proxy.pem       certificate and key of the proxy
    agencies/ca.pem     the authority that vouches for it (LINTAS_CA)
"""

from __future__ import annotations

import ipaddress
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lintas.clock import now_us
from lintas.event import US_PER_S

NAMES = ("proxy", "localhost", "127.0.0.1", "::1")
LIFE = timedelta(days=397)
REPLICAS = ("hub-1", "hub-2")
ROLE = "lintas"
PRIVATE, PUBLIC = 0o600, 0o644


def make_secrets(folder: Path) -> None:
    """Write what is missing in the folder."""
    password = folder / "database" / "password"
    if not password.exists():
        # Another user than ours runs the database: the folder that only it is given keeps others out.
        write(password, secrets.token_urlsafe(32).encode(), PUBLIC)
    for replica in REPLICAS:
        # libpq takes a password file from nobody but its owner.
        write(folder / replica / "pgpass", b"*:*:*:" + ROLE.encode() + b":" + password.read_bytes() + b"\n", PRIVATE)
    certificate = folder / "tls" / "proxy.pem"
    if not certificate.exists():
        authority, own = make_certificate(NAMES)
        # The proxy's own last: its presence says that both were written.
        write(folder / "agencies" / "ca.pem", authority, PUBLIC)
        write(certificate, own, PRIVATE)


def make_certificate(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    """Return an authority's certificate, then a certificate for these names or addresses with its key, all in PEM.

    The authority's key is forgotten: it vouches for this one certificate, ever.
    """
    now = datetime.fromtimestamp(now_us() // US_PER_S, UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lintas exercise (SIMULATED)")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())

    def begin(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + LIFE)
            .add_extension(
                x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True
            )
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        )

    authority = begin(issuer, authority_key.public_key(), is_authority=True).sign(authority_key, hashes.SHA256())
    own = begin(subject, key.public_key(), is_authority=False)
    own = own.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    own = own.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    signed = own.sign(authority_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem), signed.public_bytes(pem) + private


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, never with a wider mode than this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.unlink(missing_ok=True)
    aside.touch(mode=PRIVATE)
    aside.write_bytes(content)
    aside.chmod(mode)
    aside.replace(path)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


if __name__ == "__main__":
    make_secrets(Path(sys.argv[1]))
