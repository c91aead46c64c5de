"""Builds the compiled modules: python -m deploy.mypyc_build FOLDER NAME FILE...

A process of its own for deploy/compile.py, because setuptools works on the state of its process.
mypyc writes one C file per module and a library that they share; the C compiler runs on all
processors. They are in FOLDER/NAME then. Prints how far it is.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SAY_EVERY_S = 5.0


class Progress:
    """What has been done, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._began_s = self._said_s = time.monotonic()

    def say(self, text: str) -> None:
        """Always."""
        self._said_s = time.monotonic()
        print(f"{self._said_s - self._began_s:4.0f} s  {text}", flush=True)

    def now_and_then(self, text: str) -> None:
        """If nothing was said for a while."""
        if time.monotonic() - self._said_s >= SAY_EVERY_S:
            self.say(text)


def main() -> None:
    """Entry point."""
    folder, made, *files = sys.argv[1:]
    progress = Progress()
    importlib.import_module("setuptools")  # before distutils: it brings its own
    compiler: Any = importlib.import_module("distutils.ccompiler").CCompiler
    processors = os.cpu_count() or 1
    progress.say(f"{len(files)} modules are turned into C")
    extensions = importlib.import_module("mypyc.build").mypycify(
        ["--cache-dir", f"{folder}/cache", *files],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        target_dir=f"{folder}/c",
    )
    progress.say(f"the C is compiled, {processors} files at a time")
    sys.argv = ["setup.py", "-q", "build_ext", "-b", f"{folder}/{made}", "-t", f"{folder}/objects"]
    with ThreadPoolExecutor(processors) as pool:
        compiler.compile = _all_at_once(pool, progress)
        importlib.import_module("setuptools").setup(
            name="tengrid-compiled", packages=[], py_modules=[], ext_modules=extensions
        )
    progress.say("linked")


def _all_at_once(pool: ThreadPoolExecutor, progress: Progress) -> Any:
    """CCompiler.compile, which compiles one file after the other, with a pool of threads."""

    def compile_(  # the parameters of distutils
        self: Any,
        sources: list[str],
        output_dir: str | None = None,
        macros: list[Any] | None = None,
        include_dirs: list[str] | None = None,
        debug: bool = False,
        extra_preargs: list[str] | None = None,
        extra_postargs: list[str] | None = None,
        depends: list[str] | None = None,
    ) -> list[str]:
        macros, objects, extra_postargs, options, build = self._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        first = self._get_cc_args(options, debug, extra_preargs)

        def one(made: str) -> None:
            source, extension = build[made]
            self._compile(made, source, extension, first, extra_postargs, options)

        by_size = sorted(build, key=lambda made: Path(build[made][0]).stat().st_size, reverse=True)
        _wait(pool.map(one, by_size), len(by_size), progress)
        return list(objects)

    return compile_


def _wait(results: Iterable[None], total: int, progress: Progress) -> None:
    for done, _ in enumerate(results, 1):
        progress.now_and_then(f"{done} of {total} files compiled")


if __name__ == "__main__":
    main()
