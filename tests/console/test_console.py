"""The console in a real browser, on a real grid: look at it, break it, change it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.console.browser import Browser
from tests.console.screenshots import url_of
from tests.support.real_grid import RealGrid, wait_for_summary

pytestmark = pytest.mark.timeout(150)  # the first one makes the grid
WHOLE = "[...document.querySelectorAll('[data-set]')].every((s) => s.dataset.state === 'ok')"


def cell(number: int, condition: str) -> str:
    """A condition on the cell of an element, in JavaScript."""
    return f"((c) => {condition})(document.querySelector('[data-element=\"{number}\"]'))"


def open_page(browser: Browser, name: str) -> None:
    browser.run("location.hash = arguments[0]", f"#/{name}")


def test_a_killed_instance_goes_down_the_lead_moves_and_the_copy_comes_back(
    browser: Browser, grid: RealGrid
) -> None:
    browser.wait(WHOLE, 40)
    lead = int(browser.run("return document.querySelector('[data-lead]').dataset.element"))
    host = grid.hosts[lead - 1]
    grid.kill_instance(host)
    browser.wait(cell(lead, "c.dataset.state === 'down' && !c.dataset.lead"))
    partner = lead + 1 if lead % 2 else lead - 1
    browser.wait(cell(partner, "c.dataset.lead === 'yes'"))
    browser.wait(
        "[...document.querySelectorAll('.event')]"
        ".some((e) => / leads replica set /.test(e.innerText))"
    )
    assert browser.run("return document.querySelector('[data-set=\"1\"]').dataset.state") == (
        "degraded" if lead in (1, 2) else "ok"
    )
    grid.start_instance(host)
    browser.wait(cell(lead, "c.dataset.state === 'opened'"), 40)
    browser.wait(WHOLE, 40)


def test_a_statement_is_run_explained_and_cancelled(browser: Browser) -> None:
    open_page(browser, "worksheet")
    browser.wait("document.querySelectorAll('#w-at option').length > 4")
    browser.type("#w-schema", "terry")
    browser.type("#sql", "SELECT word FROM shown WHERE id = 7")
    browser.click("#w-run")
    browser.wait(
        "[...document.querySelectorAll('.result td')].some((c) => c.innerText === 'word 7')"
    )
    browser.wait("/replica set [12]/.test(document.querySelector('pre.plan').innerText)")
    browser.type(
        "#sql", "SELECT COUNT(*) FROM shown a, shown b, shown c WHERE a.id + b.id + c.id = -1"
    )
    browser.click("#w-run")
    browser.wait("/running/.test(document.querySelector('[role=status].small').innerText)")
    browser.wait("!document.querySelector('#w-cancel').hidden")
    browser.wait(  # it has begun there
        "performance.now() - (window.begun = window.begun || performance.now()) > 500"
    )
    browser.click("#w-cancel")
    browser.wait("document.querySelector('[data-sqlstate]')?.dataset.sqlstate === '57014'")
    browser.type("#sql", "SELECT '<img src=x onerror=alert(1)>' FROM dual")
    browser.click("#w-run")
    browser.wait("/<img src=x/.test(document.querySelector('.result td')?.innerText)")
    assert browser.run("return document.querySelectorAll('main img').length") == 0


def test_a_change_of_the_model_is_read_and_applied(browser: Browser, grid: RealGrid) -> None:
    grid.admin("dbdefCreate", str(_definition(grid)))
    open_page(browser, "model")
    browser.wait("document.querySelector('.diff')?.dataset.change === 'added'")
    assert "second" in browser.text(".diff")
    browser.click("[data-action=apply]")
    assert browser.text("dialog code") == "ttGridAdmin modelApply"
    browser.click("dialog [data-key=go]")
    browser.wait("/Deployed|Pushing|Done|OK/.test(document.querySelector('dialog pre').innerText)")
    browser.wait("document.querySelector('dialog [data-key=go]').hidden", 60)
    browser.wait("/No difference/.test(document.querySelector('main').innerText)")
    open_page(browser, "operations")
    browser.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    browser.wait(
        "[...document.querySelectorAll('[data-operation]')]"
        ".some((r) => /modelApply[^]*done/.test(r.innerText))"
    )


def _definition(grid: RealGrid) -> Path:
    path = grid.plan.folder / "second.dbdef"
    path.write_text(f"DataStore={grid.plan.folder}/second\nDatabaseCharacterSet=AL32UTF8\n")
    return path


def test_a_redistribution_shows_its_progress_and_is_throttled_and_cancelled(
    browser: Browser, grid: RealGrid
) -> None:
    wait_for_summary(grid, "created,loaded-complete,open", 40)
    open_page(browser, "database")
    browser.wait("document.querySelector('[data-tile=statements] svg polyline')")
    browser.click("[data-action=count]")
    browser.wait("/shown\\s+4,000/.test(document.querySelector('main').innerText)")
    browser.click("[data-action=distribute]")
    browser.run(
        "const s = document.querySelector('#d-change');"
        "s.value = [...s.options].find((o) => /replica set 2 out/.test(o.text)).value;"
        "s.dispatchEvent(new Event('input'))"
    )
    browser.type("#d-throttle", "50")
    command = browser.text("dialog code")
    assert command == (
        "ttGridAdmin dbDistribute database1 -remove host5.instance1 -remove host6.instance1"
        " -apply -throttle 50"
    )
    browser.click("dialog [data-key=go]")
    browser.wait("document.querySelector('[data-redistribution]')")
    browser.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    browser.wait(
        "Number(document.querySelector('[data-redistribution]').dataset.redistribution) > 0"
    )
    browser.click("[data-action=throttle]")
    browser.type("#t-limit", "200")
    browser.click("dialog [data-key=go]")
    browser.wait("/at most 200 rows/.test(document.querySelector('dialog pre').innerText)")
    browser.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    browser.click("[data-action=cancel]")
    browser.click("dialog [data-key=go]")
    browser.wait("document.querySelector('dialog [data-key=go]').hidden")
    browser.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    open_page(browser, "operations")
    browser.wait(
        "[...document.querySelectorAll('[data-operation]')]"
        ".some((r) => /dbDistribute[^]*cancelled/.test(r.innerText))"
    )
    listed = json.loads(grid.admin("operationList", "-o", "json"))["operations"]
    assert listed[-1]["state"] == "cancelled"
    assert listed[-1]["by"].startswith("the console from ")


def test_every_page_loads_within_a_second_and_fits_a_phone(
    browser: Browser, grid: RealGrid
) -> None:
    browser.size(390, 780, phone=True)
    try:
        for page in ("map", "database", "statements", "model", "operations", "worksheet"):
            open_page(browser, page)
            browser.wait("document.querySelector('main h1')")
            wide = browser.run("return document.documentElement.scrollWidth")
            assert wide <= 390, f"{page} is {wide} pixels wide"
    finally:
        browser.size(1280, 860)
    open_page(browser, "map")
    browser.wait("document.querySelector('[data-element]')")
    took_ms = []
    for _ in range(3):  # the machine may be busy with something else once
        browser.reload()
        browser.wait("document.querySelector('[data-element]')")
        took_ms.append(
            browser.run(
                "const n = performance.getEntriesByType('navigation')[0];"
                "return n.loadEventEnd - n.startTime"
            )
        )
    assert min(took_ms) < 1000
    outside = browser.run(
        "return performance.getEntriesByType('resource').map((r) => r.name)"
        ".filter((name) => !name.startsWith(location.origin))"
    )
    assert outside == [], "nothing is loaded from elsewhere"


def test_without_the_token_nothing_is_shown_and_locking_forgets_it(
    browser: Browser, grid: RealGrid
) -> None:
    url, token = url_of(grid.plan.management_home())
    browser.run(
        "[...document.querySelectorAll('button')].find((b) => b.innerText === 'Lock').click()"
    )
    browser.wait("document.querySelector('#token')")
    assert browser.run("return sessionStorage.length") == 0
    browser.type("#token", "wrong")
    browser.click("button.primary")
    browser.wait("/not the token/.test(document.body.innerText)")
    browser.type("#token", token)
    browser.click("button.primary")
    browser.wait("document.querySelector('[data-element]')")
    stored = browser.run("return JSON.stringify([Object.keys(localStorage), document.cookie])")
    assert "token" not in stored
    assert url.endswith("/console/")
