"""A real JupyterLab in a real browser, moved by mouse and keyboard as a reader would.

Chromium's DevTools protocol over the websocket client that Jupyter brings: no other driver is needed.
"""

import base64
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0 "
    "--remote-allow-origins=* --window-size=1400,1000 about:blank"
).split()
SETTINGS = {  # cells out of sight are there, too; no questions about news
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def process(command, **options):
    """A program that ends with the block, and its children with it."""
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **options
    )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def until(ask, seconds: float, what: str):
    """The first answer of `ask` that is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"no {what} in {seconds:g} s")


@contextmanager
def jupyter_lab(root: Path, scratch: Path):
    """JupyterLab at a folder, with settings of its own: its address, a token at the end."""
    for name, values in SETTINGS.items():
        file = scratch / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--port={port}", f"--ServerApp.root_dir={root}", "--IdentityProvider.token=test"]
    folders = {f"JUPYTER_{name}_DIR": str(scratch / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {f"JUPYTERLAB_{name}_DIR": str(scratch / name.lower()) for name in ("SETTINGS", "WORKSPACES")}
    with process(command, env=os.environ | folders):

        def answers():
            try:
                return urlopen(f"http://127.0.0.1:{port}/api/status?token=test", timeout=5).status == 200
            except OSError:
                return False

        until(answers, 60, "JupyterLab")
        yield f"http://127.0.0.1:{port}/lab/tree/{{}}?token=test&reset"


class Page:
    """One tab: ask it with JavaScript, click, press keys, look."""

    def __init__(self, address: str) -> None:
        self.socket = websocket.create_connection(address, timeout=60, suppress_origin=True)
        self.numbers = itertools.count(1)

    def send(self, method: str, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def ask(self, code: str):
        """What an expression in the page is, as JSON."""
        answer = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", code))
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = 30):
        return until(lambda: self.ask(code), seconds, code)

    def click(self, element: str) -> None:
        """In the middle of what an expression finds, once it is there."""
        self.wait(f"!!({element})")
        box = f"(({element}).getBoundingClientRect())"
        x, y = self.ask(f"[{box}.x + {box}.width / 2, {box}.y + {box}.height / 2]")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextmanager
def browser(scratch: Path):
    """A tab of headless Chromium."""
    with process([CHROMIUM, f"--user-data-dir={scratch}", *FLAGS]):
        file = scratch / "DevToolsActivePort"
        until(lambda: file.exists() and len(file.read_text().splitlines()) == 2, 60, "browser")
        port = file.read_text().splitlines()[0]
        tabs = json.load(urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30))
        page = Page(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
        try:
            yield page
        finally:
            page.socket.close()
