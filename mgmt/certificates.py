"""The grid's certificate authority: keys and certificates as PEM text; no files, no clock.

ECDSA on P-256: small, fast to make and to check, known to every client. X.509 as in RFC 5280; what
an instance is called on the internal network stands in a URI (protocol/tls.py).
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import ParameterError
from protocol.tls import CertifiedName

ROOT_DAYS = 3650
DAYS = 397  # of an instance's certificate; the longest that browsers and libraries accept of any
BACKDATE = datetime.timedelta(hours=1)  # clocks of hosts differ
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
_COMMON_NAME_MAX = 64  # RFC 5280, ub-common-name


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """Who signs. `certificates`: all that are to be trusted, the one in use first.

    next_key: of the last certificate, which is trusted already and signs nothing yet.
    """

    key: str
    certificates: str
    next_key: str = ""

    def __repr__(self) -> str:
        return "Authority(***)"


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its key, for a file that only its owner may read."""

    pem: str
    about: About

    def __repr__(self) -> str:
        return f"Issued({self.about!r})"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What is public of a certificate. Times in microseconds since 1970 UTC."""

    holder: str
    names: tuple[str, ...]  # as a client may call it: DNS names, addresses, URIs
    serial: str  # hexadecimal
    not_before_us: int
    not_after_us: int
    fingerprint: str  # SHA-256, hexadecimal
    authority: str = ""  # identifier of the key that signed it, hexadecimal


def new_authority(grid: str, now_us: int, *, days: int = ROOT_DAYS) -> Authority:
    """A new key with a certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Authority(key=_key_text(key), certificates=_root(key, grid, now_us, days))


def with_new_root(authority: Authority, grid: str, now_us: int, days: int = ROOT_DAYS) -> Authority:
    """The same key with a newer certificate: what it signed stays good with either of them."""
    key = _key(authority)
    newer = _root(key, grid, now_us, days)
    kept = x509.load_pem_x509_certificates(authority.certificates.encode())[:1]
    return Authority(
        key=authority.key, certificates=newer + "".join(_certificate_text(c) for c in kept)
    )


def with_next_key(authority: Authority, grid: str, now_us: int) -> Authority:
    """A second key, trusted beside the first from now on; the first one goes on signing."""
    key = ec.generate_private_key(ec.SECP256R1())
    newer = _root(key, grid, now_us, ROOT_DAYS)
    return msgspec.structs.replace(
        authority, certificates=authority.certificates + newer, next_key=_key_text(key)
    )


def with_key_changed(authority: Authority) -> Authority:
    """The next key signs; what the former one signed is still good."""
    roots = x509.load_pem_x509_certificates(authority.certificates.encode())
    ordered = "".join(_certificate_text(c) for c in (roots[-1], *roots[:-1]))
    return Authority(key=authority.next_key, certificates=ordered)


def trusting_itself_alone(authority: Authority) -> Authority:
    """What other keys signed is good no more."""
    own = _identifier(_key(authority).public_key()).key_identifier
    roots = x509.load_pem_x509_certificates(authority.certificates.encode())
    kept = [c for c in roots if _identifier_of(c) == own]
    return msgspec.structs.replace(
        authority, certificates="".join(_certificate_text(c) for c in kept)
    )


def _identifier_of(root: x509.Certificate) -> bytes:
    return root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def issue(
    authority: Authority,
    holder: str,
    *,
    now_us: int,
    internal: CertifiedName | None = None,
    names: Sequence[str] = (),
    days: int = DAYS,
) -> Issued:
    """A new key and its certificate. internal: for both directions of the internal network;
    without it: a server certificate for these DNS names and addresses."""
    root = x509.load_pem_x509_certificates(authority.certificates.encode())[0]
    key = ec.generate_private_key(ec.SECP256R1())
    now = _moment(now_us)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH]
    alternatives: list[x509.GeneralName] = [_general_name(name) for name in names]
    if internal is not None:
        usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        alternatives.append(x509.UniformResourceIdentifier(internal.uri()))
    certificate = (
        _builder(holder, key.public_key(), now, min(days, (root.not_valid_after_utc - now).days))
        .issuer_name(root.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            _identifier(_key(authority).public_key()),
            critical=False,
        )
        .sign(_key(authority), hashes.SHA256())
    )
    pem = _key_text(key) + _certificate_text(certificate)
    return Issued(pem=pem, about=_about(certificate))


def signed_by(authority: Authority, given: About) -> bool:
    """Whether the authority's present key signed it."""
    own = _identifier(_key(authority).public_key()).key_identifier
    return own is not None and given.authority == own.hex()


def about(pem: str) -> About:
    """The (first) certificate of a file. Raises ParameterError."""
    try:
        certificate = x509.load_pem_x509_certificates(pem.encode())[0]
    except ValueError as error:
        raise ParameterError(f"this holds no certificate: {error}") from error
    return _about(certificate)


def _root(key: ec.EllipticCurvePrivateKey, grid: str, now_us: int, days: int) -> str:
    holder = f"TenGrid {grid}"
    certificate = (
        _builder(holder, key.public_key(), _moment(now_us), days)
        .issuer_name(_subject(holder))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _certificate_text(certificate)


def _builder(
    holder: str, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(holder))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _subject(holder: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder[:_COMMON_NAME_MAX])])


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    used = ("key_cert_sign", "crl_sign") if signs else ("digital_signature",)
    return x509.KeyUsage(**{usage: usage in used for usage in _USAGES})


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _about(certificate: x509.Certificate) -> About:
    names: tuple[str, ...] = ()
    with contextlib.suppress(x509.ExtensionNotFound):
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(str(name.value) for name in found.value)
    authority = ""
    with contextlib.suppress(x509.ExtensionNotFound):
        signer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        authority = (signer.value.key_identifier or b"").hex()
    return About(
        holder=str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value),
        names=names,
        serial=f"{certificate.serial_number:x}",
        not_before_us=_us(certificate.not_valid_before_utc),
        not_after_us=_us(certificate.not_valid_after_utc),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        authority=authority,
    )


def _identifier(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _key(authority: Authority) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority.key.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _certificate_text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _moment(us: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(us / 1e6, datetime.UTC).replace(microsecond=0)


def _us(moment: datetime.datetime) -> int:
    return int(moment.timestamp() * 1e6)
