"""A real browser that opens pages: headless Chromium through its driver's HTTP interface."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NO_BROWSER = "skipped: needs chromium and chromedriver (Debian: chromium, chromium-driver)"
PATIENCE = 120.0
"""Timeout of a page, in seconds."""

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1600,1000",
]  # fmt: skip


class Browser:
    """A browser session; `address` is that of the driver."""

    def __init__(self, address: str, profile: str) -> None:
        options = {"args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = _ask(f"{address}/session", wanted)["sessionId"]
        self._session = f"{address}/session/{session}"

    def seconds_until(self, url: str, text: str) -> float:
        """Open a page and return the seconds until it shows a text; raises TimeoutError."""
        _ask(f"{self._session}/url", {"url": "about:blank"})
        began = time.perf_counter()
        _ask(f"{self._session}/url", {"url": url})
        while not self._run("return document.body.innerText.includes(arguments[0])", text):
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"{url} does not show {text!r}")
            time.sleep(0.02)
        return time.perf_counter() - began

    def click(self, text: str) -> None:
        """Click the first link with a text, as soon as there is one; raises TimeoutError."""
        script = (
            "const link = [...document.querySelectorAll('a')]"
            ".find(a => a.innerText.trim() === arguments[0]);"
            "link?.click(); return Boolean(link)"
        )
        began = time.perf_counter()
        while not self._run(script, text):
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"the page has no link {text!r}")
            time.sleep(0.1)

    def wait_for(self, text: str) -> str:
        """Wait until the page shows a text; return all text of the page."""
        began = time.perf_counter()
        while text not in (shown := self._run("return document.body.innerText")):
            if time.perf_counter() - began > PATIENCE:
                raise TimeoutError(f"the page does not show {text!r} but {shown:.500}")
            time.sleep(0.1)
        return str(shown)

    def save_picture(self, path: Path) -> None:
        """Write what the window shows as a PNG file."""
        with urllib.request.urlopen(f"{self._session}/screenshot", timeout=PATIENCE) as response:
            path.write_bytes(base64.b64decode(json.load(response)["value"]))

    def _run(self, script: str, *arguments: Any) -> Any:
        return _ask(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})


def is_here() -> bool:
    """Return whether a browser and its driver are installed."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


@contextlib.contextmanager
def opened() -> Iterator[Browser]:
    """Start a browser with a new profile; stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            _wait_for(address)
            browser = Browser(address, profile)
            yield browser
            request = urllib.request.Request(browser._session, method="DELETE")
            urllib.request.urlopen(request, timeout=30).close()
    finally:
        driver.terminate()
        driver.wait()


def _wait_for(address: str) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/status", timeout=5).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"no driver responds at {address}")


def _ask(address: str, content: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        address, json.dumps(content).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)["value"]
