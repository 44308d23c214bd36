"""A browser for tests: Chromium without a window, through its debugging pipe.

Chromium reads commands from file descriptor 3 and writes replies and events to 4: JSON,
each ended by a zero byte. No port is open, and a browser whose pipe is closed ends.
"""

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# A browser's own traffic and first-run pages are off.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
)
# Key -> (code, virtual key code, text).
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " ")}


class BrowserError(RuntimeError):
    """The browser did not start, did not reply in time, or refused a command."""


def find() -> str | None:
    """Returns the path of an installed Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def needed() -> str:
    """Returns the browser for a test; skips the test where none is installed.

    With DDJAX_BROWSER=required, as in CI, a missing browser is a failure.
    """
    found = find()
    if not found and os.environ.get("DDJAX_BROWSER") == "required":
        pytest.fail(f"found no browser among {', '.join(NAMES)}: install chromium")
    if not found:
        pytest.skip("no Chromium is installed")
    return found


class Browser:
    """A running Chromium, as a context manager that always ends its processes.

    Args:
        executable: path of the program, see `find`.
        patience: seconds that any one wait may last.
    """

    def __init__(self, executable: str, patience: float = 30.0):
        self.executable, self.patience = executable, patience
        self._pages: dict[str, Page] = {}
        self._replies: dict[int, dict] = {}
        self._number, self._received = 0, b""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = pathlib.Path(
                stack.enter_context(
                    tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
                )
            )
            log = stack.enter_context((self.folder / "log").open("wb"))
            self.process = subprocess.Popen(
                # The shell moves the two pipes to where Chromium expects them.
                ["sh", "-c", 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null', "sh"]
                + [self.executable, *FLAGS, f"--user-data-dir={self.folder}/profile"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )
            stack.callback(self._end)
            self.call("Browser.getVersion")
            self._close = stack.pop_all().close
        return self

    def __exit__(self, *_):
        self._close()

    def _end(self):
        """Closes the pipe; kills what is left of the browser's processes."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def call(self, method: str, session: str | None = None, **parameters) -> dict:
        """Returns the reply to a command of the DevTools protocol.

        Raises:
            BrowserError: if it is refused, comes too late, or the browser ended.
        """
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        with contextlib.suppress(BrokenPipeError):  # the wait says why
            self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.wait(lambda: number in self._replies, method)
        reply = self._replies.pop(number)
        if "error" in reply:
            raise BrowserError(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def wait(self, condition, what: str):
        """Handles messages until `condition()` holds; `what` names it in errors."""
        end = time.monotonic() + self.patience
        while not condition():
            left = max(0.0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise self._error(f"{what}: nothing after {self.patience:g} s")
            data = os.read(self.process.stdout.fileno(), 2**20)
            if not data:
                raise self._error(f"{what}: the browser ended")
            *messages, self._received = (self._received + data).split(b"\0")
            for message in messages:
                self._handle(json.loads(message))

    def _handle(self, message):
        if "id" in message:
            self._replies[message["id"]] = message
        elif page := self._pages.get(message.get("sessionId", "")):
            page.handle(message["method"], message["params"])

    def _error(self, text):
        log = (self.folder / "log").read_text(errors="replace").strip()
        return BrowserError(f"{text}\n{self.executable} wrote:\n{log[-2000:]}")

    @contextlib.contextmanager
    def page(self, width=1280, height=800, **how):
        """A new page with a profile of its own; `how` as for `Page.look`."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.call(
                "Target.createTarget", url="about:blank", browserContextId=context
            )
            session = self.call("Target.attachToTarget", flatten=True, **target)
            page = Page(self, session["sessionId"])
            self._pages[page.session] = page
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            page.call("Page.setLifecycleEventsEnabled", enabled=True)
            page.call("Emulation.setFocusEmulationEnabled", enabled=True)
            page.look(width, height, **how)
            yield page
        finally:
            if self.process.poll() is None:
                self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """A page of a browser.

    Attributes:
        errors: messages of the console from warnings on, and uncaught exceptions.
        requests: addresses that were fetched, besides the opened file.
        path: the opened file.
    """

    def __init__(self, browser: Browser, session: str):
        self.browser, self.session = browser, session
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._address, self._loaded = "", set()

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def handle(self, event: str, values: dict):
        """Keeps what tests want to know of an event."""
        if event == "Page.lifecycleEvent" and values["name"] == "load":
            self._loaded.add(values["loaderId"])
        elif event == "Network.requestWillBeSent":
            address = values["request"]["url"].partition("#")[0]
            if address != self._address and not address.startswith("data:"):
                self.requests.append(address)
        elif event == "Runtime.exceptionThrown":
            found = values["exceptionDetails"]
            text = found.get("exception", {}).get("description", found["text"])
            self.errors.append(text)
        elif event == "Log.entryAdded" and values["entry"]["level"] in _WORRYING:
            self.errors.append(values["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and values["type"] in _WORRYING:
            words = [str(a.get("value", a.get("description"))) for a in values["args"]]
            self.errors.append(" ".join(words))

    def look(
        self,
        width,
        height,
        *,
        scale=1,
        phone=False,
        dark=False,
        print_=False,
        script=True,
    ):
        """Sets window, device, theme, medium and whether scripts run.

        Args:
            width, height: of the window, in CSS pixels.
            scale: pixels of a picture in one CSS pixel.
            phone: lays out as phones do: the viewport that the page asks for.
            dark: `prefers-color-scheme: dark`.
            print_: the medium is paper.
            script: whether the page's scripts run when it is opened.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=phone,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            media="print" if print_ else "",  # else screen, and paper when printed
            features=[
                {
                    "name": "prefers-color-scheme",
                    "value": "dark" if dark else "light",
                }
            ],
        )
        self.call("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, path: str | os.PathLike):
        """Opens a file and waits until it and all that it embeds are loaded.

        The lists of errors and requests begin again.
        """
        self.path = pathlib.Path(path).resolve()
        self._address = self.path.as_uri()
        self.errors, self.requests = [], []
        answer = self.call("Page.navigate", url=self._address)
        if "errorText" in answer:
            raise BrowserError(f"{path}: {answer['errorText']}")
        self.browser.wait(lambda: answer["loaderId"] in self._loaded, f"load {path}")

    def run(self, function: str, *arguments):
        """Returns what a JavaScript function returns for JSON arguments."""
        given = ", ".join(map(json.dumps, arguments))
        reply = self.call(
            "Runtime.evaluate",
            expression=f"({function})({given})",
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if found := reply.get("exceptionDetails"):
            text = found.get("exception", {}).get("description", found["text"])
            raise BrowserError(f"{text}\nin {function}")
        return reply["result"].get("value")

    def press(self, key: str):
        """Presses and releases a key of `KEYS`."""
        code, number, text = KEYS[key]
        same = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **same, **down)
        self.call("Input.dispatchKeyEvent", **same, type="keyUp")

    def picture(self) -> bytes:
        """Returns a PNG of what the window shows, without its scrollbars."""
        self.run("() => (document.documentElement.style.scrollbarWidth = 'none')")
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def paper(self) -> bytes:
        """Returns a PDF of the page, in the size that its style asks for."""
        reply = self.call("Page.printToPDF", preferCSSPageSize=True)
        return base64.b64decode(reply["data"])


_WORRYING = {"warning", "error", "assert"}
