"""A real Chromium, driven over its debugging pipe (the DevTools protocol): what people see of the page."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess

from harness import PATIENCE_S, until

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--window-size=1000,800", "--remote-debugging-pipe")


class Page:
    """One page. Whatever it logs as an error, also what its policy (CSP) refuses, is in `errors`."""

    def __init__(self, folder):
        # Chromium reads commands from descriptor 3 and writes to 4.
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", CHROMIUM, *FLAGS,
             f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.numbers, self.text, self.session, self.errors = itertools.count(1), b"", None, []
        target = until(self.target, "there is a page")
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def target(self):
        infos = self.ask("Target.getTargets")["targetInfos"]
        return next((info["targetId"] for info in infos if info["type"] == "page"), None)

    def message(self):
        while b"\0" not in self.text:
            ready, _, _ = select.select([self.back], [], [], PATIENCE_S)
            assert ready, "the browser does not answer"
            more = os.read(self.back, 1 << 16)
            assert more, "the browser ended"
            self.text += more
        line, self.text = self.text.split(b"\0", 1)
        return json.loads(line)

    def ask(self, method, **params):
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        os.write(self.to, json.dumps(command).encode() + b"\0")
        while (message := self.message()).get("id") != number:
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.errors.append(message["params"]["entry"]["text"])
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"]["text"])
        assert "error" not in message, (method, message["error"])
        return message["result"]

    def run(self, script):
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, address):
        self.ask("Page.navigate", url=address)
        until(lambda: self.run("document.readyState === 'complete' && location.href !== 'about:blank'"), address)

    def shown(self):
        return self.run("document.body.innerText")

    def until_shown(self, words):
        return until(lambda: words in self.shown(), f"the page shows {words!r}")

    def type(self, element, text):
        self.run(f"document.getElementById({json.dumps(element)}).select()")
        self.ask("Input.insertText", text=text)

    def click(self, selector):
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        os.close(self.to)
        os.close(self.back)
