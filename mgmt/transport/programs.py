"""What is in the bin/ of an installation. Pure."""

from __future__ import annotations

DISTRIBUTION = "tengrid"
PROGRAMS = (
    "ttGridAdmin",
    "ttInstanceCreate",
    "ttInstanceDestroy",
    "ttDaemonAdmin",
    "ttStatus",
    "ttGridRollout",
    "ttMembership",
    "ttExporter",
    "ttBulkCp",
    "ttIsql",
    "tengrid-datad",
    "tengrid-mgmtd",
    "tengrid-membershipd",
)
ONLY_IN_INSTALLATIONS = {"ttInstallationCheck": "mgmt.cli.installation_check:main"}
_README = (
    "<!doctype html><title>TenGrid {release}</title><h1>TenGrid {release}</h1>"
    "<p>Release notes: docs/changelog.md of the source tree.</p>\n"
)


def readme(release: str) -> str:
    """The text of README.html."""
    return _README.format(release=release)
