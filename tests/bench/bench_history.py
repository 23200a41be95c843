#!/usr/bin/env python3
"""History: an hour of 1,000 devices that are sampled once a second, and what was kept read back.

The times of the samples are made up, so the hour is as long as the processor needs. Beside it the floor: the
same packed rows into a bare SQLite table with the same key, as many in a transaction (history.c); and
for queries a SELECT that steps through the same rows."""

import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import bench
import polled
from harness import Host

DAY_S = 86400
QUERIES = (  # case, resolution, from, to; the same in seconds of history.c, rows
    ("a day at 1 min", "1m", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", 366 * DAY_S, DAY_S, 1440),
    ("a year at 1 day", "1d", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z", 0, 365 * DAY_S, 365))


def history(*arguments):
    """What build/history tells, on the processor of the host."""
    command = bench.on_core(bench.HOST_CORE, [bench.BUILD / "history", *arguments])
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def taken_in(what, out, devices, seconds):
    with tempfile.TemporaryDirectory(dir=out) as folder:
        return history(what, folder, devices, 0, seconds, 1)


def hour(chosen, report):
    devices, seconds = (200, 120) if chosen.short else (1000, 3600)
    case = f"{devices:,} devices, {seconds:,} s" if chosen.short else "1,000 devices for an hour"
    if not chosen.wanted(case):
        return
    found = {}
    for who, what in (("floor", "floor"), ("derd", "record")):
        print(f"    {case}: {who}", file=sys.stderr, flush=True)
        found[who] = taken_in(what, chosen.out, devices, seconds)
    derd, floor = found["derd"], found["floor"]
    assert derd["dropped"] == 0, "samples were dropped"
    report.row(case, "CPU per row", "µs", derd["cpuUs"], {"floor": floor["cpuUs"]}, at_most=2, of="floor",
               note="derd's with its minutes, quarters and days")
    report.row(case, "rows per second of a processor", "rows/s", 1e6 / derd["cpuUs"],
               {"floor": 1e6 / floor["cpuUs"]})
    report.row(case, "of one core at 1 Hz", "cores", derd["cpuUs"] * devices / 1e6,
               {"floor": floor["cpuUs"] * devices / 1e6})
    report.row(case, "on disk per row", "bytes", derd["bytes"], {"floor": floor["bytes"]}, at_most=1.2, of="floor",
               note="18 quantities")
    report.row(case, "memory at the end", "MiB", derd["endKiB"] / 1024,
               {"after a tenth": derd["earlyKiB"] / 1024}, at_most=None if chosen.short else 1.05, of="after a tenth",
               note="of the program with history alone")
    report.bars(f"CPU of a row of history, {case}", "µs",
                [("derd, with minutes, quarters, days", derd["cpuUs"], "derd"),
                 ("floor: bare insert", floor["cpuUs"], "floor")])


def site():
    """One device, whose history is kept for good."""
    text = polled.site([1]).replace('"127.0.0.1:@HTTP@"', '"127.0.0.1:@HTTP@", rate = 100000, burst = 100000')
    kept = 'history = { raw = "forever", minutes = "forever", quarters = "forever" }'
    return text.replace('directory = "state"', f'directory = "state", {kept}')


class Asked:
    """A host with a year of history of one device; one connection to it."""

    def __init__(self, folder, times, every_s):
        self.times, self.state = times, pathlib.Path(folder) / "state"
        drivers = pathlib.Path(folder) / "drivers"
        drivers.mkdir()
        (drivers / "bench_meter.lua").write_text(polled.driver())
        self.host = Host(folder, site(), arguments=("--log-level", "error"))
        try:
            self.ids = [self.host.body(path)["id"] for path in ("/v1/clusters/home/devices/m0", "/v1/clusters/home")]
        finally:
            self.host.stop()
        # What is recorded first ends its last buckets a day later.
        for start_s, seconds, apart_s in ((0, 365 * DAY_S, every_s), (366 * DAY_S, DAY_S, 1)):
            history("record", self.state, 1, start_s, seconds, apart_s, *self.ids)

    def bare(self, what, query, times):
        """Microseconds of CPU without the host: `read` as it does it, or a `select`."""
        _, resolution, _, _, begin_s, seconds, rows = query
        found = history(what, self.state, resolution, begin_s, seconds, times, *self.ids)
        assert found["rows"] == rows, f"{query[0]}: {found['rows']} rows"
        return found["cpuUs"]

    def start(self):
        self.host.start()
        self.pid = self.host.pid_of_child()
        bench.pin(self.pid, bench.HOST_CORE)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)

    def get(self, resolution, begin, end, fields):
        path = f"/v1/clusters/home/devices/m0/history?resolution={resolution}&from={begin}&to={end}" + (
            f"&fields={fields}" if fields else "")
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {self.host.token}"})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body[:500]
        return body

    def measure(self, query, fields):
        """{cpu: microseconds of the host for an answer, ms: until it had come, bytes}"""
        case, resolution, begin, end, _, _, rows = query
        body = self.get(resolution, begin, end, fields)
        got = len(json.loads(body)["items"])
        assert got == rows, f"{case}: {got} rows"
        took = []
        before = bench.run_s(self.pid)
        for _ in range(self.times):
            since = time.monotonic()
            self.get(resolution, begin, end, fields)
            took.append(1000 * (time.monotonic() - since))
        used = bench.run_s(self.pid) - before
        return {"cpu": 1e6 * used / self.times, "ms": bench.quantile(took, 0.5), "bytes": len(body)}


def queries(chosen, report):
    wanted = [query for query in QUERIES if chosen.wanted(query[0])]
    if not wanted:
        return
    times = 20 if chosen.short else 200
    with tempfile.TemporaryDirectory(dir=chosen.out) as folder:
        print("    a year of one device", file=sys.stderr, flush=True)
        asked = Asked(folder, *((10, 3600) if chosen.short else (100, 900)))
        bare = {query[0]: bench.interleave(
            chosen.rounds, select=lambda query=query: asked.bare("select", query, times),
            read=lambda query=query: asked.bare("read", query, times)) for query in wanted}
        asked.start()
        try:
            for query in wanted:
                asked.measure(query, "")
            before_kib = bench.memory_kib(asked.pid)
            got = {(query[0], fields): bench.interleave(
                chosen.rounds, GET=lambda query=query, fields=fields: asked.measure(query, fields))["GET"]
                for query in wanted for fields in ("activePower", "")}
            after_kib = bench.memory_kib(asked.pid)
        finally:
            asked.host.stop()
    for case, found in bare.items():
        report.row(case, "CPU to read and unpack", "µs", found["read"], {"floor": found["select"]},
                   note="every quantity; in pages, on a connection of its own")
        for fields, word in (("activePower", "one quantity"), ("", "every quantity")):
            runs = got[case, fields]
            size = f"{runs[0]['bytes'] / 1000:,.0f} kB of JSON"
            report.row(case, f"CPU of GET, {word}", "µs", [run["cpu"] for run in runs], {"floor": found["select"]},
                       note=size)
            report.row(case, f"answered, {word}, half within", "ms", [run["ms"] for run in runs])
    report.row("while queries run", "memory of the host", "MiB", after_kib / 1024,
               {"before": before_kib / 1024}, at_most=1.05, of="before")


def main():
    chosen = bench.options(__doc__, rounds=3)
    chosen.out.mkdir(parents=True, exist_ok=True)
    report = bench.Report("history", "History", chosen)
    hour(chosen, report)
    queries(chosen, report)
    report.note(
        "A row is what was known of a device at one instant, 18 quantities packed into one blob, kept by device and "
        "time. CPU is that of all threads without making up the samples; it takes in the queue, and the buckets that "
        "are made from the rows when their minute, quarter or day has ended. The floor has the same table, key, "
        "synchronous setting (NORMAL, WAL), cache and size of transactions, and no buckets. A query reads through a "
        "connection of its own and lets go of the file between pages. To unpack a row is to turn each of its 51 "
        "numbers into the shortest decimal that makes it, which the floor does not; the rest of a GET is their text.")
    report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
