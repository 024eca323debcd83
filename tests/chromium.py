"""A headless Chromium to look at pages with, spoken to through a pair of pipes."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BINARY = shutil.which("chromium") or shutil.which("google-chrome")
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-extensions --hide-scrollbars --remote-debugging-pipe"
).split()
_WIRED = (
    sys.executable,
    "-c",
    "import fcntl, os, sys\n"
    "moved = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]\n"
    "os.dup2(moved[0], 3), os.dup2(moved[1], 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])",
)
"""Starts a browser with its two pipes where it expects them."""
PATIENCE_S = 60


class Page:
    """One tab; every event that it told is kept in ``events``."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._held = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and give its result."""
        self._number += 1
        told = {"id": self._number, "method": method, "params": params}
        told |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(told).encode() + b"\0")
        while (found := self._next()).get("id") != self._number:
            self.events.append(found)
        assert "error" not in found, found["error"]
        return found["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._held:
            got = os.read(self._of, 1 << 20)
            assert got, "the browser has gone"
            self._held += got
        line, self._held = self._held.split(b"\0", 1)
        return json.loads(line)

    def open(self, path: Path, width: int = 1280, dark: bool = False) -> float:
        """Open a file, and give the seconds until it was drawn."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        before = time.perf_counter()
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not self.of_kind("Page.loadEventFired"):
            self.events.append(self._next())
        self.run(
            "new Promise(done => requestAnimationFrame(() => "
            "requestAnimationFrame(done))).then(() => 0)"
        )
        return time.perf_counter() - before

    def of_kind(self, *methods: str) -> list[dict[str, Any]]:
        """Give what was told by such events."""
        return [e["params"] for e in self.events if e.get("method") in methods]

    def run(self, script: str) -> Any:
        """Give the value of an expression in the page."""
        found = self.ask(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def shoot(self, path: Path, top: int = 0, height: int = 900) -> None:
        """Write a picture of a part of the page."""
        width = self.run("innerWidth")
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        shot = self.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def opened() -> Iterator[Page]:
    """Give a new tab of a new browser, which ends with the block."""
    assert BINARY is not None
    inward, to = os.pipe()
    of, outward = os.pipe()
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = subprocess.Popen(
            [
                *_WIRED,
                str(inward),
                str(outward),
                BINARY,
                *_QUIET,
                f"--user-data-dir={home}",
            ],
            pass_fds=(inward, outward),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(inward)
        os.close(outward)
        try:
            yield Page(to, of)
        finally:
            os.close(to)
            os.close(of)
            browser.terminate()
            browser.wait(PATIENCE_S)
