"""A headless Chromium, driven by chromedriver over its own protocol (W3C WebDriver): no library.

Waiting is done in the page: `wait` runs a condition there until it holds.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from protocol.clock import boottime_s
from tests.support.zookeeper import free_ports

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
START_S = 20.0
WAIT_S = 20.0
DRIVER = shutil.which("chromedriver")
CHROMIUM = shutil.which("chromium")
CERTUTIL = shutil.which("certutil")
MISSING = (
    ""
    if DRIVER and CHROMIUM and CERTUTIL
    else "no chromium, chromium-driver or certutil (deploy/setup.sh --test)"
)
_WAIT = """
const done = arguments[arguments.length - 1], until = Date.now() + arguments[1] * 1000;
const test = new Function("return (" + arguments[0] + ")");
(function look() {
  let found = null;
  try { found = test(); } catch (error) { found = null; }
  if (found) done(found === true ? true : String(found));
  else if (Date.now() > until) done(null);
  else setTimeout(look, 25);
})();
"""


class BrowserError(Exception):
    """What chromedriver said."""


class ReplacedError(BrowserError):
    """The page has put another element in the place of the one that was found."""


class Browser:
    """One browser with one window; `close` it."""

    def __init__(
        self, folder: Path, width: int = 1280, height: int = 860, authority: Path | None = None
    ) -> None:
        """authority: what the user has told the browser to trust; without, it takes anything."""
        assert DRIVER and CHROMIUM
        if authority is not None:
            _trust(folder, authority)
        self._port = free_ports(1)[0]
        self._log = (folder / "chromedriver.log").open("wb")
        home = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
        self._driver = subprocess.Popen(
            [DRIVER, f"--port={self._port}"], stdout=self._log, stderr=self._log, env=home
        )
        self._session = ""
        try:
            self._session = self._begin(folder, width, height, anything=authority is None)
        except BaseException:
            self.close()
            raise
        self._call("POST", "/timeouts", {"script": 120_000, "pageLoad": 30_000})

    def _begin(self, folder: Path, width: int, height: int, *, anything: bool) -> str:
        arguments = [
            "--headless=new",
            "--no-sandbox",  # CI runs as root
            "--disable-gpu",
            "--disable-dev-shm-usage",  # it is small in containers
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},{height}",
        ]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "acceptInsecureCerts": anything,
        }
        until_s = boottime_s() + START_S
        while True:
            try:
                made = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                return str(made["sessionId"])
            except urllib.error.URLError:
                if boottime_s() > until_s or self._driver.poll() is not None:
                    raise
                self._driver_soon()

    def _driver_soon(self) -> None:
        """It has just been started: there is nothing to wait on but its port."""
        try:
            self._driver.wait(0.05)
        except subprocess.TimeoutExpired:
            return

    def close(self) -> None:
        """End it, the browser too."""
        try:
            if self._session:
                self._call("DELETE", "", None)
        except (BrowserError, OSError):
            pass
        finally:
            self._driver.terminate()
            self._driver.wait(10)
            self._log.close()

    # -- what a user does --------------------------------------------------------------------------
    def go(self, url: str) -> None:
        """Open an address."""
        self._call("POST", "/url", {"url": url})

    def reload(self) -> None:
        """Load the page again."""
        self._call("POST", "/refresh", {})

    def click(self, selector: str) -> None:
        """Click the first element of the selector; raises BrowserError if it cannot be clicked.

        Finding and clicking are two requests. A page that is drawn anew in between has the same
        button as another element, which is found then; a person's pointer does not notice
        (dom.js does not replace what is being pressed).
        """
        until_s = boottime_s() + WAIT_S
        while True:
            try:
                self._call("POST", f"/element/{self._find(selector)}/click", {})
                return
            except ReplacedError:
                if boottime_s() > until_s:
                    raise

    def type(self, selector: str, text: str) -> None:
        """Replace the content of a field."""
        element = self._find(selector)
        self._call("POST", f"/element/{element}/clear", {})
        self._call("POST", f"/element/{element}/value", {"text": text})

    def press(self, key: str) -> None:
        """Press one key, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        self._call("POST", "/actions", {"actions": [source]})

    def text(self, selector: str) -> str:
        """The text that is shown."""
        return str(self._call("GET", f"/element/{self._find(selector)}/text", None))

    # -- looking -----------------------------------------------------------------------------------
    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript: the body of a function."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition: str, timeout_s: float = WAIT_S) -> Any:
        """Until a JavaScript expression is true; gives its value. Raises AssertionError."""
        found = self._call(
            "POST", "/execute/async", {"script": _WAIT, "args": [condition, timeout_s]}
        )
        assert found, f"not within {timeout_s} s: {condition}\n{self._page()}"
        return found

    def _page(self) -> str:
        return str(self.run("return document.body.innerText"))[:3000]

    def messages(self) -> list[str]:
        """What the page wrote to the console since the last call: errors and warnings."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [str(e["message"]) for e in entries if e["level"] in ("SEVERE", "WARNING")]

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Of the page."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, name: str) -> None:
        """What the system prefers: light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def screenshot(self) -> bytes:
        """PNG of what is to be seen."""
        return base64.b64decode(self._call("GET", "/screenshot", None))

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """A command of Chromium's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def _call(self, method: str, path: str, body: Any) -> Any:
        return self._send(method, f"/session/{self._session}{path}", body)

    def _send(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=150) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error).get("value", {})
            replaced = value.get("error") == "stale element reference"
            kind = ReplacedError if replaced else BrowserError
            raise kind(f"{path}: {value.get('error')}: {value.get('message')}") from error


def _trust(home: Path, authority: Path) -> None:
    """As a user does in the settings: Chromium keeps authorities in an NSS database here."""
    assert CERTUTIL
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    at = [CERTUTIL, "-d", f"sql:{store}"]
    subprocess.run([*at, "-N", "--empty-password"], check=True)
    subprocess.run([*at, "-A", "-t", "C,,", "-n", "grid", "-i", str(authority)], check=True)
