"""Pictures of every page of the console: `python -m tests.console.screenshots`.

Makes a grid of its own with some load on it (`--grid DIR`: takes one of `make grid` as it is),
light and dark, laptop and phone, and writes them to docs/console/.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
from PIL import Image

from protocol import instance_file
from tests.console.browser import MISSING, Browser
from tests.support.real_grid import RealGrid

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "console"
COLOURS = 160  # of a picture: text and flat areas need no more
BYTES_MAX = 60_000
LAPTOP, PHONE = (1280, 800), (390, 780)
# page → when it is complete
READY = {
    "map": "document.querySelectorAll('[data-element]').length",
    "database": "document.querySelector('[data-tile=statements] svg polyline')",
    "statements": "document.querySelectorAll('tr.pick').length",
    "model": "document.querySelector('.diff, .empty')",
    "operations": "document.querySelector('[data-operation]')",
    "worksheet": "document.querySelectorAll('#w-at option').length > 1",
}
SQL = (
    "SELECT c.city, COUNT(*) orders, SUM(o.amount) amount FROM orders o"
    " JOIN customers c ON c.id = o.customer GROUP BY c.city ORDER BY 3 DESC"
)
CITIES = ("Lisbon", "Oslo", "Graz", "Turin", "Ghent", "Cork", "Lyon", "Bergen")
CUSTOMERS, ORDERS = 2000, 6000
CLIENTS = 4


def url_of(home: Path) -> tuple[str, str]:
    """Address of the console of a management instance, and its token."""
    settings = instance_file.load(home)
    scheme = "http" if settings.internal_encryption == "off" else "https"
    token = settings.path(instance_file.TOKEN_FILE).read_text(encoding="ascii").strip()
    return f"{scheme}://{settings.internal_address}:{settings.mgmt_port}/console/", token


def sign_in(browser: Browser, url: str, token: str) -> None:
    """Until the page is live."""
    browser.go(url)
    browser.wait("document.querySelector('#token')")
    browser.type("#token", token)
    browser.click("button.primary")
    browser.wait(
        "document.body.dataset.live === 'live' && document.querySelector('[data-element]')"
    )


def take(browser: Browser, folder: Path, name: str) -> None:
    """What is to be seen, with few colours."""
    browser.run("document.activeElement.blur(); scrollTo(0, 0)")
    image = Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
    few = image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    target = folder / f"{name}.png"
    few.save(target, "PNG", optimize=True)
    size = target.stat().st_size
    print(f"{target.name}: {size} bytes{' TOO LARGE' if size > BYTES_MAX else ''}")


def take_pages(browser: Browser, folder: Path, pages: list[str]) -> None:
    """Every page in four forms."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        browser.scheme(scheme)
        for name, (width, height) in (("laptop", LAPTOP), ("phone", PHONE)):
            browser.size(width, height, phone=name == "phone")
            for page in pages:
                browser.run("location.hash = arguments[0]", f"#/{page}")
                browser.wait(READY[page])
                if page == "database":
                    browser.click("[data-action=count]")
                    browser.wait("document.querySelector('[aria-label*=\"replica set 1:\"]')")
                    browser.wait(
                        "document.querySelector('[data-tile=statements] svg polyline')"
                        ".getAttribute('points').split(' ').length > 12",
                        40,
                    )
                if page == "worksheet":
                    browser.type("#sql", SQL)
                    browser.type("#w-schema", "terry")
                    browser.click("#w-run")
                    browser.wait(
                        "document.querySelector('.result td')"
                        " && !document.querySelector('#w-run').disabled"
                    )
                take(browser, folder, f"{page}-{name}-{scheme}")
    browser.scheme("light")
    browser.size(*LAPTOP)


def take_events(browser: Browser, folder: Path, grid: RealGrid) -> None:
    """A fault, and a redistribution under way."""
    browser.run("location.hash = '#/map'")
    browser.wait("document.querySelector('[data-lead]')")
    lead = int(browser.run("return document.querySelector('[data-lead]').dataset.element"))
    grid.kill_instance(grid.hosts[lead - 1])
    cell = f"document.querySelector('[data-element=\"{lead}\"]')"
    browser.wait(f"{cell}.dataset.state === 'down'")
    events = "document.querySelector('.event').parentNode.innerText"
    browser.wait(f"/leads replica set/.test({events}) && /is gone/.test({events})")
    browser.wait("document.querySelectorAll('[data-lead]').length === 2")
    take(browser, folder, "fault-laptop-light")
    grid.start_instance(grid.hosts[lead - 1])
    whole = "[...document.querySelectorAll('[data-set]')].every((s) => s.dataset.state === 'ok')"
    browser.wait(whole, 60)
    browser.run("location.hash = '#/database'")
    browser.wait("document.querySelector('[data-action=distribute]')")
    browser.click("[data-action=distribute]")
    browser.run(
        "const s = document.querySelector('#d-change');"
        "s.value = [...s.options].find((o) => /replica set 2 out/.test(o.text)).value;"
        "s.dispatchEvent(new Event('input'))"
    )
    browser.type("#d-throttle", "400")
    take(browser, folder, "confirm-laptop-light")
    browser.click("dialog [data-key=go]")
    browser.wait(
        "Number(document.querySelector('[data-redistribution]').dataset.redistribution) > 15", 60
    )
    browser.run("document.querySelectorAll('dialog').forEach((one) => one.close())")
    take(browser, folder, "moving-laptop-light")


@contextlib.contextmanager
def busy_grid() -> Iterator[RealGrid]:
    """With rows, and clients that read and write them."""
    folder = Path(tempfile.mkdtemp(prefix="tg"))
    grid = RealGrid.make(folder / "g")
    over = threading.Event()
    clients: list[threading.Thread] = []
    try:
        with psycopg.connect(**grid.words(grid.address(3))) as client:
            _fill(client)
        clients = [
            threading.Thread(target=_work, args=(grid, number, over)) for number in range(CLIENTS)
        ]
        for one in clients:
            one.start()
        yield grid
    finally:
        over.set()
        for one in clients:
            one.join()
        grid.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(client: psycopg.Connection[tuple[object, ...]]) -> None:
    for table in ("transactions", "accounts", "customers", "account_type", "account_status"):
        client.execute(f"DROP TABLE IF EXISTS {table}")
    client.execute("CREATE TABLE customers (id NUMBER(10) PRIMARY KEY, city VARCHAR2(20))")
    client.execute(
        "CREATE TABLE orders (id NUMBER(10) PRIMARY KEY, customer NUMBER(10) NOT NULL,"
        " amount NUMBER(10,2), CONSTRAINT placed FOREIGN KEY (customer) REFERENCES customers (id))"
        " DISTRIBUTE BY REFERENCE (placed)"
    )
    rng = random.Random(1)
    with client.transaction(), client.cursor() as cursor:
        customers = [(n, rng.choice(CITIES)) for n in range(CUSTOMERS)]
        cursor.executemany("INSERT INTO customers VALUES (%s, %s)", customers)
        orders = [(n, rng.randrange(CUSTOMERS), rng.randrange(5, 900)) for n in range(ORDERS)]
        cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s)", orders)


def _work(grid: RealGrid, number: int, over: threading.Event) -> None:
    rng = random.Random(number)
    while not over.is_set():
        try:
            host = grid.hosts[rng.randrange(len(grid.hosts))]
            with psycopg.connect(**grid.words(grid.address(host))) as client:
                while not over.wait(0.01):
                    _statement(client, rng)
        except psycopg.Error:
            over.wait(0.3)  # its instance is gone: another one


def _statement(client: psycopg.Connection[tuple[object, ...]], rng: random.Random) -> None:
    chance, key = rng.random(), rng.randrange(CUSTOMERS)
    if chance < 0.5:
        client.execute("SELECT city FROM customers WHERE id = %s", (key,))
    elif chance < 0.85:
        client.execute("UPDATE orders SET amount = amount + 1 WHERE customer = %s", (key,))
    elif chance < 0.95:
        client.execute("SELECT SUM(amount) FROM orders WHERE customer = %s", (key,))
    elif chance < 0.97:
        client.execute("SELECT city, COUNT(*) FROM customers GROUP BY city")
    else:
        with contextlib.suppress(psycopg.errors.UniqueViolation):
            client.execute("INSERT INTO customers VALUES (%s, 'Nowhere')", (key,))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=Path, help="GRID_DIR of make grid")
    parser.add_argument("--to", type=Path, default=FOLDER)
    parser.add_argument("--pages", nargs="*", default=list(READY))
    given = parser.parse_args()
    if MISSING:
        parser.error(MISSING)
    with contextlib.ExitStack() as stack:
        made = None if given.grid else stack.enter_context(busy_grid())
        home = made.plan.management_home() if made else given.grid / "host1" / "instance1"
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        browser = Browser(Path(scratch), *LAPTOP)
        stack.callback(browser.close)
        sign_in(browser, *url_of(home))
        if made is not None:  # something for the page of the model to show
            definition = made.plan.folder / "second.dbdef"
            store = made.plan.folder / "second"
            definition.write_text(f"DataStore={store}\nDatabaseCharacterSet=AL32UTF8\n")
            made.admin("dbdefCreate", str(definition))
        take_pages(browser, given.to, given.pages)
        if made is not None:
            take_events(browser, given.to, made)
        for line in browser.messages():
            print(line)


if __name__ == "__main__":
    main()
