"""A bug for the drill to find: `python -m tests.drill --plant NAME` puts this folder on PYTHONPATH.

Python runs it at each start; only data instances are changed. Nothing outside of tests names it.
"""

import os
import sys


def _waits_for_nobody() -> None:
    """A lead acknowledges and serves whatever its copies say: breaks G1 and G4."""
    from data.replication.agreement import Agreement

    count = Agreement._count

    def count_nobody(self: Agreement) -> None:
        count(self)
        self.needed = frozenset()

    Agreement._count = count_nobody  # type: ignore[method-assign]


_BUGS = {"waits_for_nobody": _waits_for_nobody}

if "daemons.datad" in sys.orig_argv:
    _BUGS[os.environ["TENGRID_DRILL_PLANT"]]()
