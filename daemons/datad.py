"""Starts a data instance: `tengrid-datad HOME`, with the hot modules in the form that is wanted."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from daemons import compiled
from daemons.runtime import EXIT_CONFIG, run_daemon

TITLE = "tengrid-datad"
DRAIN_TIMEOUT_S = 20.0


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:
        print(f"usage: {TITLE} HOME", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    home = Path(sys.argv[1])
    _let_wakers_finish()
    try:
        compiled.install()
    except compiled.CompiledError as problem:
        print(f"{TITLE}: {problem}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    from daemons.data_daemon import DataDaemon  # not before: it imports what may be compiled

    sys.exit(run_daemon(TITLE, home, DataDaemon, drain_timeout_s=DRAIN_TIMEOUT_S))


def _let_wakers_finish() -> None:
    """A message that wakes this process does not push its sender off the processor.

    On a busy machine the sender then gets to send more, and one waking serves more messages:
    a third more updates a second. On an idle one nothing changes.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    main()
