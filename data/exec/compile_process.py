"""The child process that compiles long statements (started by data/exec/compiling.py).

The parser is native code that lets no other thread run, and a long text keeps it busy for a second
or more: the instance would miss its heartbeats. Requests come on stdin and answers go to stdout,
each a length and a pickle; the end of stdin ends the process.
"""

from __future__ import annotations

import os
import pickle
import resource
import struct
import sys
from typing import Any, BinaryIO

from data.catalog.catalog import Catalog
from data.sql.compiler import Compiler
from protocol.errors import GridError, InternalError
from protocol.limits import MIB

LENGTH = struct.Struct("!Q")
MEMORY_BYTES_MAX = 1024 * MIB
NICENESS = 5  # the instance itself goes first


def read(stream: BinaryIO) -> Any:
    """The next message, None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    return pickle.loads(stream.read(length))


def packed(message: Any) -> bytes:
    """A message as it goes over a pipe."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def main() -> None:
    """Answer until the parent is gone. Requests: a Catalog, or a tuple to compile with it."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    compiler = Compiler(Catalog.initial())
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while (request := read(requests)) is not None:
        if isinstance(request, Catalog):
            compiler = Compiler(request)
            continue
        try:
            answer = packed((True, compiler.compile(*request)))
        except GridError as error:
            answer = packed((False, error.to_wire()))
        except Exception as error:
            failed = InternalError(
                f"the statement cannot be compiled: {type(error).__name__}: {error}"
            )
            answer = packed((False, failed.to_wire()))
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    main()
