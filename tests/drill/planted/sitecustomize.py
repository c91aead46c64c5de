"""A bug for the drill to find: `python -m tests.drill --plant NAME` puts this folder on PYTHONPATH.

Python runs it at each start; only data instances are changed. Nothing outside of tests names it.
"""

import os
import sys


def _waits_for_nobody() -> None:
    """A lead commits what its copies have not acknowledged: breaks G1."""
    from data.replication.leadership import Leadership

    def nobody_is_missing(self: Leadership) -> None:
        if self.batch is not None:
            self.batch.missing = set()

    Leadership._count_missing = nobody_is_missing  # type: ignore[method-assign]


_BUGS = {"waits_for_nobody": _waits_for_nobody}

if "daemons.datad" in sys.orig_argv:
    os.environ["TENGRID_COMPILED"] = "off"  # what is compiled cannot be changed
    _BUGS[os.environ["TENGRID_DRILL_PLANT"]]()
