#!/usr/bin/env python3
"""Where the work goes: instructions in user space of one poll, one row of history, one answer, one wish.

The host itself runs under callgrind, which counts every instruction of every thread, so these figures are the
same on every machine of a kind and whatever else it does. They leave out the kernel, and what it costs to
wait for memory: the benchmarks of CPU time show both."""

import http.client
import json
import pathlib
import sys
import tempfile
import time

import bench
import bench_rest
import callgrind
import harness
import polled

DEVICES = 100
CASES = ("poll", "hook", "answer", "wish")  # words for --only
DEVICES_PATH = "/v1/clusters/home/devices"

# What an operation consists of: functions with all that they call, none within another. What is left
# is "the rest".
PARTS = {
    "poll": {"the next read planned and sent": ("wheel_turn",), "20 points decoded": ("point_decode",),
             "values taken": ("device_take",), "published to readers": ("device_publish_as",),
             "decided anew": ("device_decide",), "given to history": ("journal_sample",)},
    "row": {"the row put": ("take_entry",), "minutes, quarters, days": ("telemetry_roll",),
            "what is too old looked for": ("telemetry_prune",)},
    "answer": {"values as JSON": ("present_flexibility",), "ETag": ("precondition_answer",),
               "the head, read strictly": ("request_parse", "request_lines_whole"),
               "token and its rate": ("gate_authenticate", "porter_rate"),
               "put together and given to be sent": ("send_answer",)},
}


class Host:
    """A host under callgrind that polls `ports`."""

    def __init__(self, folder, ports, driver):
        self.out = folder / "profile"
        (folder / "drivers").mkdir(parents=True)
        (folder / "drivers" / "bench_meter.lua").write_text(driver)
        (folder / "drivers" / "bench_load.lua").write_text(bench_rest.LOAD)
        harness.DERD = callgrind.wrapper(folder / "derd", bench.BUILD / "derd", self.out)
        self.host = harness.Host(folder, bench_rest.site(ports, 4), arguments=("--log-level", "warning"))
        self.pid = self.host.pid_of_child()

    def __enter__(self):
        harness.until(lambda: polled.all_online(self.host), "all devices are online", 120)
        return self

    def __exit__(self, *_):
        self.host.stop()

    def ask(self, requests):
        """Sends (method, path, body) one after another on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)
        head = {"Authorization": f"Bearer {self.host.token}", "Content-Type": "application/json"}
        for method, path, body in requests:
            connection.request(method, path, body and json.dumps(body), head)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, text
        connection.close()

    def count(self, work):
        """The threads of the host, and what they did during work()."""
        with callgrind.counting(self.pid, self.out) as threads:
            work()
        return threads


class Bench:
    def __init__(self, chosen, report, folder):
        self.chosen, self.report, self.folder = chosen, report, folder
        self.seconds = 2 if chosen.short else 12  # history writes every 5 s
        self.many = 50 if chosen.short else 1000

    def rows(self, case, thread, count, parts=None):
        """What one of `count` takes of a thread's instructions: all, by parts, by object files."""
        self.report.row(case, "of all", "instructions", thread.total / count)
        rest = thread.total
        bars = []
        for name, functions in (parts or {}).items():
            used = thread.within(*functions)
            rest -= used
            bars.append((name, used / count, "derd"))
        if parts:
            bars.append(("the rest", rest / count, "floor"))
            for name, used, _ in bars:
                self.report.row(case, name, "instructions", used)
            self.report.bars(case, "instructions", bars)
        for name, used in sorted(thread.objects.items(), key=lambda item: -item[1]):
            if used > thread.total / 100:
                self.report.row(case, f"in {'derd itself' if name == 'derd' else name}", "instructions", used / count)

    def polls(self, word, driver):
        with polled.Farm(DEVICES) as farm, Host(self.folder / word, farm.ports[1:], driver) as host:
            def work():
                farm.figures()
                time.sleep(self.seconds)
                self.reads = farm.figures()["requests"]
            threads = host.count(work)
        engine = callgrind.one_that(threads, "wheel_turn")
        case = "a poll, 20 points" + (", with a call of a hook" if word == "hook" else "")
        self.rows(f"{case}: the engine's thread", engine, self.reads, PARTS["poll"])
        history = callgrind.one_that(threads, "take_entry")
        if word == "poll" and history:
            self.rows("a row of history: its thread", history, history.calls["take_entry"], PARTS["row"])

    def requests(self):
        with polled.Farm(2) as farm, Host(self.folder / "requests", farm.ports, polled.driver()) as host:
            get = [("GET", f"{DEVICES_PATH}/m1/flexibility", None)]
            host.ask(get * 20)
            if self.chosen.wanted("answer"):
                threads = host.count(lambda: host.ask(get * self.many))
                self.rows("one device's flexibility: the thread that answers", callgrind.one_that(threads, "on_request"),
                          self.many, PARTS["answer"])
            if self.chosen.wanted("wish"):
                self.wishes(host)

    def wishes(self, host):
        many = self.many // 5

        def puts(first):
            host.ask(("PUT", f"{DEVICES_PATH}/m0/constraints/0f8fad5b-d9cb-469f-a165-{number % 20:012x}",
                      {"priority": 1000, "maxActivePower": 4000 + number, "validFor": 3600}) for number in
                     range(first, first + many))
        puts(0)
        threads = host.count(lambda: puts(many))
        case = "PUT of a constraint"
        self.rows(f"{case}: the thread that answers", callgrind.one_that(threads, "on_request"), many)
        self.rows(f"{case}: the engine's thread", callgrind.one_that(threads, "wheel_turn"), many)
        self.rows(f"{case}: the store's thread", callgrind.one_that(threads, "transaction_run"), many)
        self.report.note(
            "The constraint has a validFor and stands among 20 such of its device. The thread that answers reads and "
            "checks, asks the engine, waits, and writes what was decided; the engine takes it in, decides, and sends the "
            "command to the device; the store commits it with its row of the audit log, and the ends of all 20.")


def main():
    chosen = bench.options(__doc__, rounds=1)
    report = bench.Report("profile", "Where the work goes", chosen)
    if not bench.need("valgrind", "valgrind"):
        return 1
    with tempfile.TemporaryDirectory() as folder:
        run = Bench(chosen, report, pathlib.Path(folder))
        for word, driver in (("poll", polled.driver()), ("hook", polled.driver(more=polled.VALUES_HOOK))):
            if chosen.wanted(word):
                run.polls(word, driver)
        if chosen.wanted("answer") or chosen.wanted("wish"):
            run.requests()
    report.note(
        "Instructions in user space, counted by callgrind: the host itself ran in it, on real connections. They are "
        "the same at every load and leave out what the kernel does and what waiting for memory costs, which the CPU "
        "times of the other tables hold. A part is a function with all that it calls.")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
