"""When a certificate file ends, read without a library of certificates."""

from __future__ import annotations

from pathlib import Path

from protocol import tls
from tests.support import certificates


def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    signer = certificates.authority()
    for days in (3, 400):
        root, own = certificates.write(tmp_path / str(days), signer, "host3.instance1", days=days)
        about = certificates.about(own.read_text())
        assert tls.expires_s(own) == about.not_after_us // 1_000_000
        assert tls.expires_s(root) > tls.expires_s(own)


def test_no_certificate_has_no_end(tmp_path: Path) -> None:
    assert tls.expires_s(tmp_path / "nothing") == 0.0
    (tmp_path / "text").write_text("no certificate")
    assert tls.expires_s(tmp_path / "text") == 0.0
