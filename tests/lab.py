"""A real JupyterLab in a real browser, moved by mouse and keyboard as a reader would.

Chromium's DevTools protocol over the websocket client that Jupyter brings: no other driver is needed.
"""

import ast
import base64
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import nbformat
import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
).split()
DRIVEN = ("--remote-debugging-port=0 --remote-allow-origins=* --window-size=1400,1000 about:blank").split()
LOOK = "--virtual-time-budget=5000 --dump-dom".split()
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
        self.events = []  # what the browser tells unasked

    def send(self, method: str, **parameters):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != number:
            self.events.append(answer)
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
            typed = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **typed
            )

    def write(self, text: str) -> None:
        """Into the line that has the focus, in place of what stands there."""
        self.ask("document.activeElement.select()")
        self.send("Input.insertText", text=text)

    def choose_file(self, button: str, path: Path) -> None:
        """Click a button that asks for a file, and give it."""
        self.send("Page.enable")
        self.send("Page.setInterceptFileChooserDialog", enabled=True)
        self.events.clear()
        self.click(button)

        def asked():
            self.ask("0")  # events come with answers
            return next((e for e in self.events if e.get("method") == "Page.fileChooserOpened"), None)

        node = until(asked, 15, "question for a file")["params"]["backendNodeId"]
        self.send("DOM.setFileInputFiles", files=[str(path)], backendNodeId=node)

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


def measured(page: str, folder: Path) -> list[int]:
    """The numbers that a page's script leaves in `data-measured` of its body."""
    path = folder / "around.html"
    path.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *FLAGS, *LOOK, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    found = re.search(r'data-measured="([\d,]+)"', dom)
    assert found, dom[-500:]
    return [int(number) for number in found[1].split(",")]


@contextmanager
def browser(scratch: Path):
    """A tab of headless Chromium."""
    with process([CHROMIUM, f"--user-data-dir={scratch}", *FLAGS, *DRIVEN]):
        file = scratch / "DevToolsActivePort"
        until(lambda: file.exists() and len(file.read_text().splitlines()) == 2, 60, "browser")
        port = file.read_text().splitlines()[0]
        tabs = json.load(urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30))
        page = Page(next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"])
        try:
            yield page
        finally:
            page.socket.close()


MENU = "[...document.querySelectorAll('.lm-MenuBar-itemLabel')].find(e => e.textContent == 'Run')"
ITEM = "[...document.querySelectorAll('.lm-Menu-itemLabel')].find(e => e.textContent == 'Run All Cells')"
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
LEFT = f"{PROMPTS}.filter(e => !/[0-9]/.test(e.textContent)).length"
LOADED = "[...document.querySelectorAll('.jp-RenderedMarkdown img')].some(e => e.naturalWidth > 500)"
IDLE = "!!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"
OUTPUT = ".jp-OutputArea-output[data-mime-type$="
WRONG = f"[...document.querySelectorAll('{OUTPUT}stderr],{OUTPUT}error]')].map(e => e.innerText)"
KINDS = {"slider": "[role=slider]", "list": ".widget-dropdown select", "line": ".widget-text input"}
KINDS["file"] = ".widget-upload"
CONTROLS = "[...document.querySelectorAll('{}')]".format(
    ", ".join(f".jp-OutputArea {kind}" for kind in KINDS.values())
)
# What the reader sees below a control, not what the kernel says: a page's words, or a picture's pixels.
SEEN = """(() => {
  const box = CONTROL.closest('.widget-vbox'), page = box.querySelector('.widget-html-content');
  if (page) return page.innerText;
  const image = box.querySelector('img.jupyter-widgets');
  if (!image || !image.complete || !image.naturalWidth) return '';
  const canvas = Object.assign(document.createElement('canvas'),
    {width: image.naturalWidth, height: image.naturalHeight});
  canvas.getContext('2d').drawImage(image, 0, 0);
  return canvas.toDataURL();
})()"""
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowUp": 38, "ArrowDown": 40, "Enter": 13}


def moved_names(cells: list[str]) -> list[str]:
    """All that the code of a notebook asks for to be moved, in order: the names given to `explore`."""
    calls = [node for code in cells for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [word.arg for call in calls if ast.unparse(call.func) == "explore" for word in call.keywords]


def looks_at(folder: Path, notebook: str) -> Path:
    """Where the screenshots of a notebook go."""
    return Path(os.environ.get("MEDPROBCLIP_SCREENSHOTS", folder / "screenshots")) / notebook


def move_everything(
    page: Page, lab: str, path: Path, looks: Path, written: str = "", film: Path | None = None
) -> list[str]:
    """Open a notebook of a `jupyter_lab` in a browser, run it from the menu, and move all that can be moved.

    Asserts that each move changes what is seen below it and that nothing red appears. Lines of text get
    `written`, uploads `film`. Screenshots go to `looks`. Returns the kinds of what was moved, in order.
    """
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    names, kinds = moved_names(cells), []
    page.send("Page.navigate", url=lab.format(f"notebooks/{path.name}"))
    page.wait(f"{PROMPTS}.length == {len(cells)}", 60)
    page.wait(LOADED)  # the committed picture, before anything runs
    page.wait(IDLE, 60)
    page.screenshot(looks / "opened.png")
    run_all(page)
    page.wait(f"{LEFT} == 0 || {WRONG}.length > 0", 180)
    assert page.ask(WRONG) == []
    assert page.ask(f"{CONTROLS}.length") == len(names) > 0
    for i, what in enumerate(names):
        control = f"{CONTROLS}[{i}]"
        kinds.append(next(k for k, css in KINDS.items() if page.ask(f"{control}.matches('{css}')")))
        page.ask(f"{control}.scrollIntoView({{block: 'center'}})")
        seen = SEEN.replace("CONTROL", control)
        before = page.wait(seen)
        move(page, control, kinds[-1], written, film)
        page.wait(f"(now => now && now != {json.dumps(before)})({seen})", 15)
        page.ask(f"{control}.scrollIntoView({{block: 'start'}})")
        page.screenshot(looks / f"{i:02d}-{kinds[-1]}-{what}.png")
    assert page.ask(WRONG) == []
    return kinds


def run_all(page: Page) -> None:
    """From the menu; once more where a busy machine lost it: a kernel may be idle before it listens."""
    for _ in range(3):
        page.click(MENU)
        page.click(ITEM)
        try:
            return page.wait(f"{PROMPTS}.some(e => /[*0-9]/.test(e.textContent))", 10)
        except TimeoutError:
            continue
    raise TimeoutError("no cell runs")


def move(page: Page, control: str, kind: str, written: str, film: Path | None) -> None:
    """One step of a slider or a list, a text with Enter, or a file."""
    if kind == "file":
        page.choose_file(control, film)
        return
    if kind == "list":  # opened by the mouse: the closed one leaves the arrows to JupyterLab
        last = page.ask(f"{control}.selectedIndex == {control}.length - 1")
        page.click(control)
        page.press(key := "ArrowUp" if last else "ArrowDown", KEYS[key])
        page.press("Enter", KEYS["Enter"])
        return
    page.ask(f"{control}.focus()")
    if kind == "line":
        page.write(written)
        page.press("Enter", KEYS["Enter"])
        return
    number, top = (page.ask(f"{control}.getAttribute('aria-value{end}')") for end in ("now", "max"))
    key = "ArrowLeft" if float(number) == float(top) else "ArrowRight"  # no further than its end
    page.press(key, KEYS[key])
