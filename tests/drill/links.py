"""Cut links between the hosts of a grid on one machine: in a network namespace of its own.

`enter` starts the program again in a new network namespace (root only): it has a loopback device
and nothing else, so that what is done to its routing rules concerns the drill alone; and in a new
mount namespace, for `disks.py`. All "hosts" are loopback addresses there; instances talk from and
to their internal addresses, and a rule per direction makes the kernel swallow what one sends to the
other: connections stay open and silent.
The membership servers have an address of their own: with all other links cut they may stay in
reach, so that a cut link is seen by its two ends only, or be the only thing that is not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from typing import TypeAlias

from deploy.grid_plan import internal

MARK = "TENGRID_DRILL_NAMESPACE"
LOCAL_PREFERENCE = 1000  # the rule for local addresses moves there, behind ours
FIRST_PREFERENCE = 100
Place: TypeAlias = int | str
MEMBERSHIP = "127.0.0.1"  # of the servers in a grid made by deploy/local_grid.py


def can_enter() -> bool:
    """Whether this user may make network namespaces and has the tools."""
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in ("unshare", "ip"))


def inside() -> bool:
    """This process runs in a namespace made by `enter`."""
    return bool(os.environ.get(MARK))


def enter(module: str) -> None:
    """Become `python -m module` with the same words, in namespaces. Does not return."""
    words = ["unshare", "--net", "--mount", sys.executable, "-m", module, *sys.argv[1:]]
    os.execvpe(words[0], words, {**os.environ, MARK: "1"})


def prepare() -> None:
    """Once, inside: the loopback device, and room for rules before the one for local addresses."""
    assert inside()
    _ip("link", "set", "lo", "up")
    _ip("rule", "add", "pref", str(LOCAL_PREFERENCE), "lookup", "local")
    _ip("rule", "del", "pref", "0")


def cut(pairs: Iterable[tuple[Place, Place]]) -> None:
    """Nothing gets from the first to the second of a pair: a host's number, or an address."""
    assert inside()
    for number, (sender, receiver) in enumerate(pairs):
        words = ("from", _address(sender), "to", _address(receiver), "blackhole")
        _ip("rule", "add", "pref", str(FIRST_PREFERENCE + number), *words)


def heal() -> None:
    """All links work again."""
    assert inside()
    for line in _ip("rule", "show").splitlines():
        preference = line.partition(":")[0]
        if FIRST_PREFERENCE <= int(preference) < LOCAL_PREFERENCE:
            _ip("rule", "del", "pref", preference)


def both_ways(pairs: Iterable[tuple[Place, Place]]) -> list[tuple[Place, Place]]:
    """Each pair, and the other way round."""
    return [way for one, two in pairs for way in ((one, two), (two, one))]


def _address(place: Place) -> str:
    return internal(place) if isinstance(place, int) else place


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout
