"""Starts the real programs on free ports of 127.0.0.1 and talks to them as their users would."""

import json
import os
import pathlib
import random
import select
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DERD_BUILD", ROOT / "build"))
DERD = BUILD / "derd"
# Sanitizers slow everything down; patience is only ever the end of hope, never a measure.
PATIENCE_S = 60
LOOK_AGAIN = threading.Event()


def until(look, what, patience_s=PATIENCE_S):
    """Looks again and again until look() gives something true, and returns that."""
    end = time.monotonic() + patience_s
    seen = None
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        LOOK_AGAIN.wait(0.05)
    raise AssertionError(f"never happened: {what} (last seen: {seen!r})")


CLAIMS = []  # held until this process ends


def free_port():
    """One that connections do not get by themselves, below those that the system gives out, and that no
    other test process has taken."""
    while True:
        port = random.randrange(10000, 32768)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0derd-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port


class Simulator:
    """`derd simulate` on a home given as Lua text; its console is standard input."""

    def __init__(self, folder, home):
        self.path = pathlib.Path(folder) / "home.lua"
        self.path.write_text(home)
        self.ports = {}
        self.process = None
        self.start()

    def start(self, home=None):
        if home:
            self.path.write_text(home)
        self.said = b""
        self.process = subprocess.Popen([DERD, "simulate", self.path], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        while (words := self.line().split()) != ["ready"]:
            self.ports[words[2]] = int(words[1].rsplit(":", 1)[1])

    def line(self):
        """The next line that it says; bytes are kept here, so that waiting and reading agree."""
        while b"\n" not in self.said:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
            assert ready, "the simulator does not answer"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "the simulator ended"
            self.said += more
        line, self.said = self.said.split(b"\n", 1)
        return line.decode()

    def ask(self, command):
        """The lines of the answer; the last one begins with "ok"."""
        self.process.stdin.write(command.encode() + b"\n")
        lines = [self.line()]
        while lines[-1].split()[:1] not in (["ok"], ["error:"]):
            lines.append(self.line())
        assert lines[-1].startswith("ok"), (command, lines)
        return lines

    def state(self):
        """The truth: grid, load, charging, battery, pv, and devices by name."""
        state = json.loads(self.ask("state")[0])
        state["devices"] = {device["name"]: device for device in state["devices"]}
        return state

    def read(self, name, address, count=1, table="holding"):
        return [int(word) for word in self.ask(f"read {name} {table} {address} {count}")[0].split()[1:]]

    def writes(self, name):
        """[(sequence, address, [values])] of what was written and not refused, oldest first."""
        lines = [line.split() for line in self.ask(f"writes {name}")[:-1]]
        return [(int(words[1]), int(words[3]), [int(word) for word in words[4:]])
                for words in lines if words[-1] != "refused"]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(PATIENCE_S)
        self.process.stdin.close()
        self.process.stdout.close()
        return status


class Host:
    """`derd serve` on a site given as Lua text, with a token of its own."""

    def __init__(self, folder, site, max_priority=3999, arguments=()):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.service_port = free_port()
        self.site_path = self.folder / "site.lua"
        self.write_site(site)
        self.arguments = list(arguments)
        self.log_path = self.folder / "host.log"
        self.token = self.make_token("test", max_priority)
        self.process = None
        self.start()

    def write_site(self, site):
        """As an editor does it: a new file, renamed over the old one."""
        new = self.folder / "site.lua.new"
        if "service =" not in site:
            site = site.replace('listen = "127.0.0.1:@HTTP@"',
                                'listen = "127.0.0.1:@HTTP@", service = "127.0.0.1:@SERVICE@"')
        new.write_text(site.replace("@HTTP@", str(self.port)).replace(
            "@SERVICE@", str(self.service_port)))
        new.rename(self.site_path)

    def make_token(self, name, max_priority, scopes="all", *more):
        made = subprocess.run(
            [DERD, "token", "create", "--name", name, "--max-priority", str(max_priority), "--scopes",
             scopes, "--site", self.site_path, *more], capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def start(self, *more):
        self.log = open(self.log_path, "a")
        self.process = subprocess.Popen(
            [DERD, "serve", "--site", self.site_path, "--log-level", "debug", *self.arguments,
             *more], stderr=self.log, start_new_session=True)
        until(self.healthy, "the host answers /health")

    def healthy(self):
        assert self.process.poll() is None, "the host ended:\n" + self.log_text()
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def log_text(self):
        return self.log_path.read_text()

    def pid_of_child(self):
        """The host proper: the child of the supervising parent."""
        children = pathlib.Path(
            f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def kill(self):
        """kill -9 of parent and child, as a power cut would."""
        child = self.pid_of_child()
        self.process.kill()
        self.process.wait()
        if child:
            until(lambda: not pathlib.Path(f"/proc/{child}").exists(), "the child is gone")
        self.log.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(PATIENCE_S)
        self.log.close()
        text = self.log_text()
        for trouble in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                        "WARNING: ThreadSanitizer", "a handle was left open"):
            assert trouble not in text, text[max(0, text.index(trouble) - 500):][:6000]
        return status

    def request(self, method, path, body=None, token=None, headers=None):
        """(status, parsed body or None, headers)"""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, method=method)
        if token != "":
            request.add_header("Authorization", f"Bearer {token or self.token}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return self.parsed(answer.status, answer)
        except urllib.error.HTTPError as refusal:
            return self.parsed(refusal.code, refusal)

    def service(self, path):
        """The status of a path of the service port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.service_port}{path}",
                                        timeout=PATIENCE_S) as answer:
                return answer.status
        except urllib.error.HTTPError as refusal:
            return refusal.code

    @staticmethod
    def parsed(status, answer):
        raw = answer.read()
        kind = answer.headers.get("Content-Type", "")
        parses = raw and "json" in kind and "ndjson" not in kind
        return status, json.loads(raw) if parses else raw, answer.headers

    def get(self, path):
        return self.request("GET", path)

    def body(self, path):
        status, body, _ = self.get(path)
        assert status == 200, (path, status, body)
        return body

    def device(self, key, cluster="home"):
        return Device(self, f"/v1/clusters/{cluster}/devices/{key}")


class Device:
    def __init__(self, host, path):
        self.host, self.path = host, path

    def flexibility(self):
        return self.host.body(self.path + "/flexibility")

    def effective(self):
        return self.host.body(self.path + "/effective")

    def constraints(self):
        return self.host.body(self.path + "/constraints")["items"]

    def post(self, **fields):
        return self.host.request("POST", self.path + "/constraints", fields)

    def put(self, constraint_id, **fields):
        return self.host.request("PUT", f"{self.path}/constraints/{constraint_id}", fields)

    def delete(self, constraint_id):
        return self.host.request("DELETE", f"{self.path}/constraints/{constraint_id}")

    def until_online(self):
        return until(lambda: self.flexibility()["connection"] == "online" and self.flexibility(),
                     self.path + " is online")
