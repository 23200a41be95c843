"""`derd demo`: what somebody sees who has nothing but this program."""

import collections
import json
import os
import pathlib
import signal
import statistics
import subprocess
import urllib.request

import pytest

from harness import DERD, free_port, until

KEYS = ("grid", "battery", "roof", "wallbox")


def children(pid):
    """Every process below this one."""
    try:
        direct = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in direct] + [
        below for child in direct for below in children(int(child))]


class Demo:
    def __init__(self, folder, *arguments):
        self.port = free_port()
        environment = dict(os.environ, TMPDIR=str(folder))
        self.process = subprocess.Popen([DERD, "demo", "--port", str(self.port), *arguments],
                                        env=environment, stdout=subprocess.PIPE,
                                        text=True)
        self.told = ""
        for line in self.process.stdout:
            self.told += line
            if "Ctrl-C" in line:
                return
        raise AssertionError(f"the demo ended: {self.process.wait()}")

    def word_after(self, word):
        return next(line.split()[1] for line in self.told.splitlines()
                    if line.split()[:1] == [word])

    def get(self, path, token=True):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if token:
            request.add_header("Authorization", "Bearer " + self.word_after("token"))
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers.get("Content-Type", ""), answer.read()

    def healthy(self):
        try:
            return self.get("/health", token=False)
        except OSError:
            return False

    def flexibility(self):
        body = json.loads(self.get("/v1/clusters/home/flexibility")[1])
        return {item["key"]: item for item in body["items"]}

    def online(self):
        seen = self.flexibility()
        return all(seen[key]["connection"] == "online" for key in KEYS) and seen

    def end(self, number):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status


@pytest.fixture
def start_demo(tmp_path):
    demos = []

    def start(*arguments):
        demos.append(Demo(tmp_path, *arguments))
        until(demos[-1].healthy, "/health answers")
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)


def test_the_demo_shows_a_page_and_a_car_that_follows_the_sun(start_demo, full):
    demo = start_demo()
    assert demo.word_after("page") == f"http://127.0.0.1:{demo.port}/"
    kind, page = demo.get("/", token=False)
    assert kind.startswith("text/html") and b"<html" in page.lower()
    until(demo.online, "all four devices are online")
    seen = until(lambda: demo.flexibility()["wallbox"]["activePower"] > 4000 and
                 demo.flexibility(), "the car charges")
    assert seen["roof"]["activePower"] < -4000
    # The sun rises as we look: the house gets little from the grid and gives it little, and the car has
    # what the roof gives less the household. On a machine that is too busy for its own simulation, later.
    samples, at = collections.deque(maxlen=60 if full else 10), ""

    def follows():
        nonlocal at
        seen = demo.flexibility()
        if seen["grid"]["updatedAt"] > at:
            at = seen["grid"]["updatedAt"]
            power = {key: seen[key]["activePower"] for key in ("grid", "roof", "wallbox")}
            samples.append((abs(power["grid"]), -power["roof"] - power["wallbox"]))
        grid, left = (statistics.median(values) for values in zip(*samples))
        return len(samples) == samples.maxlen and grid < 300 and left < 1500

    until(follows, "the car follows the sun", patience_s=180)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_ends_with_all_its_children_and_its_folder(start_demo, tmp_path, number):
    demo = start_demo()
    started = children(demo.process.pid)
    assert len(started) == 3, "simulator, supervisor, host"
    assert [path.name[:10] for path in tmp_path.iterdir()] == ["derd-demo-"]
    assert demo.end(number) == 0
    assert not [pid for pid in started if pathlib.Path(f"/proc/{pid}").exists()]
    assert list(tmp_path.iterdir()) == []


def test_two_demos_stand_beside_each_other(start_demo):
    first, second = start_demo(), start_demo()
    until(first.online, "the first is whole")
    until(second.online, "the second is whole")
    assert first.flexibility()["grid"]["deviceId"] != second.flexibility()["grid"]["deviceId"]


def test_keep_keeps_the_folder(start_demo, tmp_path):
    kept = tmp_path / "kept"
    demo = start_demo("--keep", str(kept))
    until(demo.online, "it runs")
    assert demo.end(signal.SIGINT) == 0
    assert (kept / "site.lua").exists() and (kept / "state").is_dir()
    again = start_demo("--keep", str(kept))
    until(again.online, "what was kept serves again")


def test_a_killed_demo_takes_its_children_with_it(start_demo):
    demo = start_demo()
    started = children(demo.process.pid)
    demo.end(signal.SIGKILL)
    until(lambda: not [pid for pid in started if pathlib.Path(f"/proc/{pid}").exists()],
          "all are gone")
