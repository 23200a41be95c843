#!/usr/bin/env python3
"""From wish to wire: from the POST of a limit to its write at the device, on disk in between.

    python3 tests/bench/bench_wish.py [--short] [--rounds 5] [--only idle,load,boundary,commits]

One host polls 1,000 Modbus devices once a second, half of them with 20 ms of latency, and two more that
are asked for limits: one answers at once, one after 20 ms. wish.c is each of these two and its client,
and measures the disk's own fdatasync after each wish, so that all three are of the same moment. `load`:
wrk with 64 connections that GET a flexibility meanwhile. `boundary`: limits ahead, how late their
validAt and invalidAt are seen at the device. `commits`: the store alone, beside fdatasync."""

import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading

import bench
import polled
from harness import Host, until

DEVICES, CONNECTIONS = 1000, 64
LATENCIES = (0, 20)
LIMITER = """return {
  api = 1, name = "bench_limiter", version = "1", manufacturer = "Bench", models = { "wish" },
  type = "heatPump", link = { kinds = { "tcp" }, timeout = 1 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 20000, default = 20000 } },
  points = {
    { name = "activePower", kind = "holding", address = 0, encoding = "int16", unit = "W", period = 0.2 },
    { name = "_power", kind = "holding", address = 20, encoding = "uint16", unit = "W", period = "never",
      writable = { min = 0, max = 20000 } },
  },
  controls = {
    withoutSetPoint = "followsMax",
    charge = { { point = "_power", from = "power" } }, hold = { { point = "_power", value = 0 } }, lag = 1,
  },
}
"""


class World:
    """The host, its 1,000 devices, the two that are wished of."""

    def __init__(self, folder):
        self.folder, self.started, self.wishes, self.host = pathlib.Path(folder), [], {}, None

    def start(self, devices):
        half = devices // 2
        ports = self.farm("--devices", half) + self.farm("--devices", half, "--latency", LATENCIES[1])
        limiters = ""
        for latency in LATENCIES:
            process, words = self.begin("wish", "--latency", latency, "--floor",
                                        self.folder / f"floor{latency}")
            self.wishes[latency] = process
            limiters += (f'{{ key = "wish{latency}", driver = "bench_limiter", fallback = {{ activePower = 0 }}, '
                         f'link = "tcp://127.0.0.1:{words[1]}", unit = 1 }},\n')
        drivers = self.folder / "drivers"
        drivers.mkdir()
        (drivers / "bench_meter.lua").write_text(polled.driver())
        (drivers / "bench_limiter.lua").write_text(LIMITER)
        site = polled.site(ports).replace("devices = {\n", "devices = {\n" + limiters)
        site = site.replace('listen = "127.0.0.1:@HTTP@"', 'listen = "127.0.0.1:@HTTP@", service = '
                            f'"127.0.0.1:@SERVICE@", threads = {2 * CONNECTIONS}, rate = 100000, burst = 100000')
        self.host = Host(self.folder, site, arguments=("--log-level", "warning"))
        bench.pin(self.host.pid_of_child(), bench.HOST_CORE)
        until(lambda: polled.online(self.host) == devices + len(LATENCIES), "all devices are online", 120)
        for latency in LATENCIES:
            self.ask(latency, "host", self.host.port, self.host.token,
                     f"/v1/clusters/home/devices/wish{latency}/constraints")

    def begin(self, program, *arguments):
        process = subprocess.Popen(bench.on_core(bench.WORLD_CORE, [bench.BUILD / program, *arguments]),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        return process, process.stdout.readline().split()

    def farm(self, *arguments):
        return self.begin("modbus_farm", *arguments)[1][1:]

    def ask(self, latency, *words):
        process = self.wishes[latency]
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("wish ended; what it said stands above")
        return json.loads(line)

    def load(self):
        """wrk gives way to the devices: what they see late would count as the host's."""
        url = f"http://127.0.0.1:{self.host.port}/v1/clusters/home/devices/m1/flexibility"
        return subprocess.Popen(
            bench.on_core(bench.WORLD_CORE, ["nice", "-n", "19", "wrk", "-t1", f"-c{CONNECTIONS}", "-d600s", "-H",
                                             f"Authorization: Bearer {self.host.token}", url]),
            stdout=subprocess.PIPE, text=True)

    def gets_s(self, run):
        """(what run() gives, GETs a second meanwhile)"""
        wrk = self.load()
        try:
            threading.Event().wait(0.3)
            result = run()
        finally:
            wrk.send_signal(signal.SIGINT)
            said = wrk.communicate(timeout=30)[0]
        if "Non-2xx" in said:
            raise RuntimeError("the load was refused:\n" + said)
        rate = [line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec:")]
        return result, float(rate[0])

    def end(self):
        if self.host and self.host.process.poll() is None:
            self.host.stop()
        for process in self.started:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def wishes(report, world, chosen):
    counts = {0: 10, 20: 5} if chosen.short else {0: 200, 20: 50}
    cases = [(latency, load) for latency in LATENCIES for load in ("idle", "load") if chosen.wanted(load)]

    def run(latency, load):
        def ask():
            # A latency long enough after the one before that its read-back is over, too.
            return world.ask(latency, "wishes", counts[latency], 8 + 2 * latency)
        return (ask(), None) if load == "idle" else world.gets_s(ask)

    runs = {f"{load} {latency} ms": lambda latency=latency, load=load: run(latency, load)
            for latency, load in cases}
    figures = bench.interleave(chosen.rounds, **runs)
    bars = []
    for latency, load in cases:
        rounds = [result for result, _ in figures[f"{load} {latency} ms"]]
        gets = [rate for _, rate in figures[f"{load} {latency} ms"] if rate]
        case = f"{'idle' if load == 'idle' else f'{CONNECTIONS} connections GET'}, device's latency {latency} ms"

        def ms(name, share, rounds=rounds):
            return [bench.quantile(result[name], share) / 1000 for result in rounds]
        floor50, floor99 = ms("floor", 0.5), ms("floor", 0.99)
        row = report.row(case, "POST until the write, p50", "ms", ms("wire", 0.5), {"fdatasync": floor50},
                         at_most=5, of="fdatasync")
        short = f"{load}, {latency} ms"
        bars += [(f"fdatasync alone; {short}", row["beside"]["fdatasync"], "floor"),
                 (f"POST until the write; {short}", row["derd"], "derd")]
        wire99 = ms("wire", 0.99)
        report.row(case, "POST until the write, p99", "ms", wire99, {"fdatasync": floor99})
        report.row(case, "p99 above fdatasync's p99" + (" and the latency" if latency else ""), "ms",
                   [a - b - latency for a, b in zip(wire99, floor99)], at_most=5 if load == "idle" else 20)
        report.row(case, "POST until the answer, p50", "ms", ms("answer", 0.5))
        if gets:
            report.row(case, "GETs meanwhile", "per s", gets)
    if bars:
        report.bars("From wish to wire, p50, by load and the device's latency", "ms", bars)


def boundaries(report, world, chosen):
    def run(latency):
        count = 40 if latency == 0 else 20
        result = world.ask(latency, "boundaries", count // 5 if chosen.short else count, 40 + 8 * latency)
        return result["begin"] + result["end"]

    cases = [(latency, load) for latency in LATENCIES for load in ("idle", "load")]
    runs = {f"boundary {load} {latency} ms":
            lambda latency=latency, load=load:
            run(latency) if load == "idle" else world.gets_s(lambda: run(latency))[0]
            for latency, load in cases if latency == 0 or load == "idle"}
    for name, rounds in bench.interleave(chosen.rounds, **runs).items():
        latency = int(name.split()[2])
        case = f"validAt, invalidAt; {'idle' if 'idle' in name else f'{CONNECTIONS} connections GET'}" + (
            f", device's latency {latency} ms" if latency else "")
        report.row(case, "late at the device, p50", "ms", [bench.quantile(late, 0.5) / 1000 for late in rounds])
        what = "late at the device" + (", above the latency" if latency else "") + ", p99"
        report.row(case, what, "ms", [bench.quantile(late, 0.99) / 1000 - latency for late in rounds], at_most=10)
        report.row(case, "earliest", "ms", [min(late) / 1000 for late in rounds])


def commits(report, folder, chosen):
    store = pathlib.Path(folder) / "commits"
    store.mkdir()
    rounds = chosen.rounds
    print(f"    {rounds} rounds: commits", file=sys.stderr, flush=True)
    said = subprocess.run(
        bench.on_core(bench.HOST_CORE, [bench.BUILD / "commits", store, 200 if chosen.short else 1000, rounds]),
        stdout=subprocess.PIPE, text=True, check=True).stdout
    figures = [json.loads(line) for line in said.splitlines()]
    floor = [figure["floor"] for figure in figures]
    report.row("durable commits", "one at a time", "per s", [figure["one"] for figure in figures],
               {"fdatasync": floor}, at_least=0.7, of="fdatasync")
    report.row("durable commits", "16 waiting", "per s", [figure["many"] for figure in figures],
               {"fdatasync": floor}, at_least=3, of="fdatasync")
    report.bars("Durable commits", "per s", [
        ("fdatasync, one at a time", statistics.median(floor), "floor"),
        ("derd, one at a time", statistics.median(figure["one"] for figure in figures), "derd"),
        ("derd, 16 waiting", statistics.median(figure["many"] for figure in figures), "derd")])


def main():
    chosen = bench.options(__doc__)
    report = bench.Report("wish", "From wish to wire", chosen)
    # Where builds are is a disk; /tmp may be memory, on which nothing is durable.
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=chosen.out) as folder:
        if any(map(chosen.wanted, ("idle", "load", "boundary"))):
            world = World(folder)
            try:
                world.start(100 if chosen.short else DEVICES)
                wishes(report, world, chosen)
                if chosen.wanted("boundary"):
                    boundaries(report, world, chosen)
            finally:
                world.end()
        if chosen.wanted("commits"):
            commits(report, folder, chosen)
    report.note("fdatasync is that of 4 KiB in a file that has its blocks, behind a rest like that of a wish. A wish "
                "commits some five pages (its row, the index of its id, its record for the audit log with its time and "
                "what the log counts) with one fdatasync. With a latency, a wish that meets a read in flight waits "
                "for it, and for nothing else; that is in its p99.")
    report.note("Under load a thread of the API that has a limit to set comes forward to the engine's priority, which "
                "takes RLIMIT_NICE (the packaged service has it) or root; without it, about twice the p50.")
    report.note(
        "One commit at a time is a PUT that changes a limit: four pages, where the floor writes one. In memory, where no "
        "disk is waited for, it takes 51 µs of the processor. Of these, sampled there: 26 % the SQL of the limit's row "
        "and of the audit log's, a fifth handing over to the store's thread and back, 19 % writing the frames of the "
        "journal, 11 % the locks that let other programs read the file, the rest SQLite's around them. 0.7 of a bare "
        "fdatasync that takes 100 µs leaves 43 µs for all that, and the sync has three pages more: it takes a disk "
        "that is slower. With 16 waiting they share the pages and the sync.")
    report.write()


if __name__ == "__main__":
    main()
