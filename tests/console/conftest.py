"""One real grid and one browser for the tests of the console."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.console.browser import MISSING, Browser
from tests.console.screenshots import sign_in, url_of
from tests.support.real_grid import RealGrid

ROWS = 4000


@pytest.fixture(scope="module")
def grid() -> Iterator[RealGrid]:
    """Two replica sets with rows in them. Its folder has a short path: sockets are made in it."""
    if MISSING:
        pytest.skip(MISSING)
    folder = Path(tempfile.mkdtemp(prefix="tg"))
    real = RealGrid.make(folder / "g", encryption="on")
    try:
        with psycopg.connect(**real.words(real.address(3))) as client:
            client.execute("CREATE TABLE shown (id NUMBER(10) PRIMARY KEY, word VARCHAR2(40))")
            with client.transaction():
                client.cursor().executemany(
                    "INSERT INTO shown VALUES (%s, %s)", [(n, f"word {n}") for n in range(ROWS)]
                )
        yield real
    finally:
        real.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def signed_in(grid: RealGrid) -> Iterator[Browser]:
    """A browser that trusts the grid's authority, in which somebody has signed in by HTTPS."""
    folder = Path(tempfile.mkdtemp(prefix="tb"))
    grid.admin("certificateExport", str(folder / "root.crt"))
    browser = Browser(folder, authority=folder / "root.crt")
    try:
        url, token = url_of(grid.plan.management_home())
        assert url.startswith("https:")
        sign_in(browser, url, token)
        yield browser
    finally:
        browser.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def browser(signed_in: Browser) -> Iterator[Browser]:
    """At the map, with no dialog open; the page must have complained about nothing."""
    signed_in.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    signed_in.run("location.hash = '#/map'")
    signed_in.wait("document.querySelector('[data-element]')")
    signed_in.messages()
    yield signed_in
    said = [m for m in signed_in.messages() if "net::ERR" not in m and "status of 4" not in m]
    assert not said, said
