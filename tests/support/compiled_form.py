"""Tests of the compiled form in their own process (TENGRID_COMPILED=on pytest ...).

What mypyc made calls its functions directly: one that a test puts in place of another would not
be called, and most cannot be put there. Tests that try are skipped; they test the sources.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest

from daemons import compiled

_REASON = "it replaces a function that is compiled"
CUT_SHORT = pytest.StashKey[
    bool
]()  # of a test that was skipped when it had begun: it cleans nothing
_READ_ONLY = re.compile(r"object attribute '\w+' is read-only")
_set_attribute = pytest.MonkeyPatch.setattr


def skip_what_replaces_functions() -> None:
    """From now on, for every test."""
    pytest.MonkeyPatch.setattr = _watched  # type: ignore[assignment,method-assign]


def _watched(patch: pytest.MonkeyPatch, target: Any, name: Any, *rest: Any, **kwargs: Any) -> None:
    holder, attribute = _resolve(target, name)
    is_class = isinstance(holder, type)  # its properties too
    if _is_compiled(holder) and (is_class or callable(getattr(holder, attribute, None))):
        pytest.skip(_REASON)
    _set_attribute(patch, target, name, *rest, **kwargs)


def _resolve(target: Any, name: Any) -> tuple[Any, str]:
    if isinstance(target, str):
        path, _, attribute = target.rpartition(".")
        return pytest.importorskip(path) if path in compiled.MODULES else None, attribute
    return target, str(name)


def _is_compiled(holder: Any) -> bool:
    if isinstance(holder, ModuleType):
        return holder.__name__ in compiled.MODULES
    kind = holder if isinstance(holder, type) else type(holder)
    return kind.__module__ in compiled.MODULES


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Any:
    """Of fixtures."""
    _skip(item, (yield))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Of tests."""
    _skip(item, (yield))


def _skip(item: pytest.Item, outcome: Any) -> None:
    error = outcome.exception
    if isinstance(error, AttributeError) and _READ_ONLY.search(str(error)):
        error = pytest.skip.Exception(_REASON)
        outcome.force_exception(error)
    item.stash[CUT_SHORT] = isinstance(error, pytest.skip.Exception)
