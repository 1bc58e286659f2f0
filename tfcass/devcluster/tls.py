"""An authority of the cluster's own and a certificate per node. Keys lie unencrypted; only the owner reads them."""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = datetime.timedelta(days=825)  # The longest that strict clients accept.


def ca_file(home: Path) -> Path:
    """PEM certificate of the authority: what clients need to trust the cluster."""
    return home / "tls" / "ca.pem"


def node_file(home: Path, number: int) -> Path:
    """PEM key and certificate of a node: its keystore."""
    return home / "tls" / f"node{number}.pem"


def ensure(home: Path, hosts: Sequence[str]) -> None:
    """Makes the authority and the nodes' certificates unless they are there and valid for another day.

    Args:
      home: Folder of the cluster; files go to its folder `tls`.
      hosts: Address of each node. Every certificate holds all of them and "localhost".
    """
    files = [ca_file(home), *(node_file(home, number) for number in range(1, len(hosts) + 1))]
    if all(_valid_tomorrow(file) for file in files):
        return
    ca_file(home).parent.mkdir(mode=0o700, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())  # Not kept: a new cluster gets a new authority.
    ca = _certificate("tfcass development authority", ca_key, issuer=None, hosts=())
    for number in range(1, len(hosts) + 1):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(f"tfcass node {number}", key, issuer=(ca, ca_key), hosts=hosts)
        _write(node_file(home, number), _pem_key(key) + _pem(certificate) + _pem(ca))
    _write(ca_file(home), _pem(ca))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    *,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    hosts: Sequence[str],
) -> x509.Certificate:
    """A certificate of `key`; of an authority that signs itself if there is no issuer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # Clocks differ.
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_key_usage(authority=issuer is None), critical=True)
    )
    if issuer is not None:
        names = [x509.IPAddress(ipaddress.ip_address(host)) for host in hosts]
        builder = builder.add_extension(
            x509.SubjectAlternativeName([*names, x509.DNSName("localhost")]), critical=False
        )
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer[1].public_key())
        builder = builder.add_extension(authority, critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _valid_tomorrow(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:  # Damaged, or its writing was cut short.
        return False
    return certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
