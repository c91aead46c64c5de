"""Certificate files as an instance home has them, made by an authority of the test's own."""

from __future__ import annotations

from pathlib import Path

from mgmt import certificates
from mgmt.certificates import Authority, about
from protocol.clock import wall_us
from protocol.tls import CertifiedName, InternalTls

__all__ = ["about", "authority", "internal", "write"]
DAY_US = 86_400 * 1_000_000


def authority(grid: str = "grid1") -> Authority:
    """A new one."""
    return certificates.new_authority(grid, wall_us())


def write(
    folder: Path,
    signer: Authority,
    name: str,
    *,
    kind: str = "data",
    grid_id: str = "grid1",
    trusts: Authority | None = None,
    began_days_ago: int = 0,
    days: int = 30,
) -> tuple[Path, Path]:
    """root.crt and NAME.pem; the certificate is good for `days` from its beginning."""
    issued = certificates.issue(
        signer,
        name,
        now_us=wall_us() - began_days_ago * DAY_US,
        internal=CertifiedName(grid_id, kind, name),
        days=days,
    )
    folder.mkdir(exist_ok=True)
    root, own = folder / f"{name}.root.crt", folder / f"{name}.pem"
    for path, text in ((root, (trusts or signer).certificates), (own, issued.pem)):
        beside = path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(path)
    return root, own


def internal(folder: Path, signer: Authority, name: str, **words: object) -> InternalTls:
    """What an RpcNode of that name takes."""
    return InternalTls(*write(folder, signer, name, **words))  # type: ignore[arg-type]
