"""A "newer release" made of the present one: its programs say another number and leave a trace."""

from __future__ import annotations

from pathlib import Path

from mgmt.transport.installation import own_programs, release
from mgmt.transport.programs import PROGRAMS

VARIABLE = "TENGRID_TEST_RELEASE"  # in the environment of what was started from it
_PROGRAM = """\
#!/bin/sh
{variable}={release}; export {variable}
if [ "$1" = -version ]; then echo {release}; exit; fi
exec {program} "$@"
"""


def next_release() -> str:
    """The present one with its last number raised."""
    first, _, last = release().rpartition(".")
    return f"{first}.{int(last) + 1}"


def make_release(folder: Path) -> Path:
    """An installation of the next release that may be copied; returns its directory."""
    directory = folder / f"tengrid-{next_release()}"
    (directory / "bin").mkdir(parents=True)
    for program in PROGRAMS:
        text = _PROGRAM.format(
            variable=VARIABLE, release=next_release(), program=own_programs() / program
        )
        (directory / "bin" / program).write_text(text)
        (directory / "bin" / program).chmod(0o755)
    python = directory / "python" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")  # what makes a directory self-contained
    return directory


def release_of_process(pid: int) -> str:
    """The release a process was started from; "" for the present one."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    found = [w for w in words if w.startswith(VARIABLE.encode() + b"=")]
    return found[0].partition(b"=")[2].decode() if found else ""
