"""Pictures of every page of the console: `python -m tests.console.screenshots --grid DIR`.

Of a grid that runs (`make grid`), light and dark, laptop and phone; written to docs/console/.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from PIL import Image

from protocol import instance_file
from tests.console.browser import MISSING, Browser

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "console"
COLOURS = 160  # of a picture: text and flat areas need no more
BYTES_MAX = 60_000
LAPTOP, PHONE = (1280, 800), (390, 780)
# page → when it is complete
READY = {
    "map": "document.querySelectorAll('[data-element]').length",
    "database": "document.querySelector('[data-tile=statements] svg polyline')",
    "statements": "document.querySelectorAll('tr.pick').length",
    "model": "document.querySelector('td')",
    "operations": "document.querySelector('[data-operation]')",
    "worksheet": "document.querySelectorAll('#w-at option').length > 1",
}
SQL = "SELECT cust_id, first_name, last_name, zipcode FROM customers ORDER BY cust_id LIMIT 8"


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


def small(png: bytes) -> bytes:
    """The same picture with few colours."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    made = io.BytesIO()
    few = image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(made, "PNG", optimize=True)
    return made.getvalue()


def take(browser: Browser, url: str, folder: Path, pages: list[str]) -> None:
    """All of them."""
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
                if page == "worksheet":
                    browser.type("#sql", SQL)
                    browser.type("#w-schema", "TERRY")
                    browser.click("#w-run")
                    browser.wait(
                        "document.querySelector('.result td')"
                        " && !document.querySelector('#w-run').disabled"
                    )
                browser.run("document.activeElement.blur(); scrollTo(0, 0)")
                png = small(browser.screenshot())
                target = folder / f"{page}-{name}-{scheme}.png"
                target.write_bytes(png)
                print(
                    f"{target.name}: {len(png)} bytes{' TOO LARGE' if len(png) > BYTES_MAX else ''}"
                )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=Path, default=Path(".grid"), help="GRID_DIR of make grid")
    parser.add_argument("--to", type=Path, default=FOLDER)
    parser.add_argument("--pages", nargs="*", default=list(READY))
    given = parser.parse_args()
    if MISSING:
        parser.error(MISSING)
    with tempfile.TemporaryDirectory() as scratch:
        browser = Browser(Path(scratch), *LAPTOP)
        try:
            sign_in(browser, *url_of(given.grid / "host1" / "instance1"))
            take(browser, "", given.to, given.pages)
        finally:
            for line in browser.messages():
                print(line)
            browser.close()


if __name__ == "__main__":
    main()
