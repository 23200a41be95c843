#!/usr/bin/env python3
"""Polling over real Modbus TCP: what it costs the host, how evenly devices are read, how old values are.

Each device is a connection of its own to another process (modbus_farm), and one poll is one read of 40
registers, decoded to 20 float points and published, once a second. Beside it the floor (poll_floor: a
bare epoll loop, the same frames at the same pace, nothing decoded) and what one would take otherwise."""

import contextlib
import datetime
import json
import statistics
import subprocess
import sys
import urllib.request

import bench
import peers
import polled

SECONDS = 10         # of each measurement: history writes every 5 s
MINUTE = 60          # of derd with a thousand devices and more: history makes a minute's rows once in it
SWEEP_BLOCKS = 20    # reads that follow each other at once
SWEEP_DEVICES = 1000
FLOATS = {"points": 200, "period_s": 0.2, "block": 100}  # 100 devices: 100,000 points a second
ILL = ("--slow", 10, "--pieces", 10, "--wrong", 10)


def ages_ms(host):
    """How old each device's value is when its page has come."""
    ages = []
    for item, came in polled.flexibilities(host):
        if item["updatedAt"]:
            at = datetime.datetime.fromisoformat(item["updatedAt"].replace("Z", "+00:00"))
            ages.append(1000 * (came - at.timestamp()))
    return ages


def metrics_ms(host):
    """How long a worker thread took to make /metrics; its last sample says so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{host.service_port}/metrics", timeout=30) as answer:
        return 1000 * float(answer.read().decode().rstrip().rsplit(" ", 1)[1])


def told(used_s, figures, reads_a_poll=1):
    """What a measurement found; microseconds and milliseconds."""
    polls = figures["requests"] / reads_a_poll
    return {"cpu": 1e6 * used_s / polls, "cpu_read": 1e6 * used_s / figures["requests"],
            "core": used_s / figures["seconds"], "polls": polls, "seconds": figures["seconds"],
            "period": polled.quantile_ms(figures["period"], 0.5),
            "error50": polled.quantile_ms(figures["error"], 0.5),
            "error99": polled.quantile_ms(figures["error"], 0.99),
            "error999": polled.quantile_ms(figures["error"], 0.999),
            "late99": polled.quantile_ms(figures["lateness"], 0.99),
            "gap": polled.mean_ms(figures["gap"]),
            "bytes": (figures["bytesIn"] + figures["bytesOut"]) / polls}


class Bench:
    def __init__(self, chosen):
        self.chosen = chosen
        self.seconds = 0.5 if chosen.short else SECONDS
        self.report = bench.Report("polling", "Polling", chosen)

    def floor(self, farm, reads_a_poll=1, *more):
        """The floor on the farm's devices."""
        command = [bench.BUILD / "poll_floor", "--seconds", max(1, int(self.seconds)), *more, *farm.ports]
        with subprocess.Popen(bench.on_core(bench.HOST_CORE, command), stdout=subprocess.PIPE,
                              text=True) as process:
            while process.stdout.readline() != "warm\n":
                assert process.poll() is None, "the floor ended"
            farm.figures()
            found = json.loads(process.stdout.readline())
            figures = farm.figures()
        return told(found["cpuUs"] / 1e6, figures, reads_a_poll)

    def derd(self, farm, text=None, living=None, reads_a_poll=1, ages=False, seconds=None, before=None):
        """`before`: reads of each device before it counts; otherwise 2, and more of thousands that all arrive."""
        with polled.Polling(farm, text, living=living) as host:
            host.settle(1 if self.chosen.short else before or 2 + len(farm.ports) // 2500)
            before_s = host.engine_s()
            found = told(*host.cpu_s(seconds or self.seconds), reads_a_poll)
            found["engine"] = 1e6 * (host.engine_s() - before_s) / found["polls"]
            found["memory_kib"] = host.memory_kib()
            found["pace"] = found["polls"] / found["seconds"] / len(farm.ports)
            if ages:
                found["ages"] = ages_ms(host.host)
                found["metrics"] = metrics_ms(host.host)
            assert polled.online(host.host) >= host.living * 0.99, "devices are lost"
        return found

    # --- the cases -------------------------------------------------------------------------------

    def sizes(self):
        """The same work for more and more devices; returns what was found of each number."""
        found = {}
        for devices in (100,) if self.chosen.short else (100, 1000, 10000):
            case = f"{devices:,} devices"
            if not self.chosen.wanted(case):
                continue
            with contextlib.ExitStack() as stack:
                farm = stack.enter_context(polled.Farm(devices))
                seconds = MINUTE if devices > 100 else None
                runs = {"floor": lambda farm=farm: self.floor(farm),
                        "derd": lambda farm=farm, seconds=seconds: self.derd(farm, ages=True, seconds=seconds)}
                if devices == (100 if self.chosen.short else 1000):
                    hook = polled.driver(more=polled.VALUES_HOOK)
                    runs["hook"] = lambda farm=farm, seconds=seconds: self.derd(farm, hook, seconds=seconds)
                    for percent in () if self.chosen.short else (1, 20):
                        dead = stack.enter_context(polled.Farm(devices, more=("--dead", percent)))
                        runs[f"dead {percent}"] = lambda farm=dead, living=devices * (100 - percent) // 100: \
                            self.derd(farm, living=living)
                if devices == 1000 and not self.chosen.short:
                    runs |= peers.polling(farm, self.seconds)
                found[devices] = bench.interleave(self.chosen.rounds, **runs)
            self.tell_size(case, found[devices])
        return found

    def tell_size(self, case, found):
        def all_of(who, what):
            return [run[what] for run in found[who]]

        found = {who: [run for run in runs if run] for who, runs in found.items()}
        others = [who for who in peers.NAMES if found.get(who)]
        cpu = {"floor": all_of("floor", "cpu")}
        row = self.report.row
        row(case, "CPU per poll", "µs", all_of("derd", "cpu"), cpu, at_most=1.3, of="floor")
        row(case, "of that the engine's thread", "µs", all_of("derd", "engine"), cpu,
            note="the rest is history's, which writes a row of each sample")
        for who, most in zip(peers.NAMES, (0.5, 0.1, None)):
            if who in others:
                row(case, f"CPU per poll beside {who}", "µs", all_of("derd", "cpu"), {who: all_of(who, "cpu")},
                    at_most=most, of=who)
        if "collectd" in others:
            row(case, "CPU per request beside collectd", "µs", all_of("derd", "cpu_read"),
                {"collectd": all_of("collectd", "cpu_read")}, note="one value of collectd, 20 of derd")
        if others:
            row(case, "reads that were made, of those due", "%", [100 * share for share in all_of("derd", "pace")],
                {who: [100 * share for share in all_of(who, "pace")] for who in others})
            row(case, "memory", "MiB", [kib / 1024 for kib in all_of("derd", "memory_kib")],
                {who: [kib / 1024 for kib in all_of(who, "memory_kib")] for who in others})
        if "hook" in found:
            row(case, "CPU per poll, each with a call of a Lua hook", "µs", all_of("hook", "cpu"), cpu,
                at_most=1.8, of="floor")
            row(case, "memory of a device, more with a hook", "KiB",
                [(hook - none) / int(case.split()[0].replace(",", ""))
                 for none, hook in zip(all_of("derd", "memory_kib"), all_of("hook", "memory_kib"))])
        row(case, "of one core", "cores", all_of("derd", "core"), {"floor": all_of("floor", "core")},
            at_most=0.3 if case.startswith("10,000") else None)
        row(case, "period, median", "ms", all_of("derd", "period"), {"floor": all_of("floor", "period")})
        for what, word, most in (("error50", "50 %", None), ("error99", "99 %", 20), ("error999", "99.9 %", None)):
            row(case, f"error of the period, {word} within", "ms", all_of("derd", what),
                {"floor": all_of("floor", what)}, at_most=most)
        row(case, "bytes on the wire per poll", "bytes", all_of("derd", "bytes"),
            {"floor": all_of("floor", "bytes")})
        for share in (0.5, 0.99):
            row(case, f"age of a value that the API gives, {100 * share:g} % within", "ms",
                [bench.quantile(ages, share) for ages in all_of("derd", "ages")])
        row(case, "/metrics is made in", "ms", all_of("derd", "metrics"))
        for percent, most in ((1, 1.3), (20, 1.5)):
            if f"dead {percent}" in found:
                row(case, f"lateness of the living, 99 % within, {percent} % dead", "ms",
                    all_of(f"dead {percent}", "late99"), {"none dead": all_of("derd", "late99")},
                    at_most=most, of="none dead")
        self.report.bars(f"CPU per poll, {case}", "µs", [
            ("derd", statistics.median(all_of("derd", "cpu")), "derd"),
            *([("derd, with a Lua hook", statistics.median(all_of("hook", "cpu")), "derd")]
              if "hook" in found else []),
            ("floor: bare epoll loop", statistics.median(cpu["floor"]), "floor"),
            *((who, statistics.median(all_of(who, "cpu")), "peer") for who in others)])
        for who, note in (("collectd", peers.COLLECTD_NOTE), ("Node-RED", peers.NODE_RED_NOTE)):
            if who in others:
                self.report.note(note)
        if others:
            self.report.note(peers.NOTE)
        if "Node-RED" in others:
            share = bench.quantile(cpu["floor"], 0.5) / bench.quantile(all_of("Node-RED", "cpu"), 0.5)
            self.report.note(f"A poll of the floor, which decodes and keeps nothing, costs {share:.2f} of one of "
                             "Node-RED: what derd can come down to at its pace of reads spread over the second.")

    def memory(self, found):
        if 1000 in found and 10000 in found:
            per = [(many["memory_kib"] - few["memory_kib"]) / 9000
                   for many, few in zip(found[10000]["derd"], found[1000]["derd"])]
            self.report.row("1,000 to 10,000 devices", "memory of a device", "KiB", per, at_most=8)

    def floats(self):
        case = "100,000 float points a second"
        if not self.chosen.wanted(case) or self.chosen.short:
            return
        reads = 2 * FLOATS["points"] // FLOATS["block"]
        period_ms = round(1000 * FLOATS["period_s"])
        with polled.Farm(100, more=("--period", period_ms)) as farm:
            found = bench.interleave(
                self.chosen.rounds,
                floor=lambda: self.floor(farm, reads, "--period", period_ms, "--blocks", reads, "--words",
                                         FLOATS["block"]),
                derd=lambda: self.derd(farm, polled.driver(**FLOATS), reads_a_poll=reads, before=10 * reads))
        floor = [run["cpu_read"] for run in found["floor"]]
        self.report.row(case, "CPU per read of 50 points", "µs", [run["cpu_read"] for run in found["derd"]],
                        {"floor": floor}, at_most=1.3, of="floor", note="100 devices, 200 points five times a second")
        self.report.row(case, "of one core", "cores", [run["core"] for run in found["derd"]],
                        {"floor": [run["core"] for run in found["floor"]]})
        self.report.row(case, "points decoded a second", "points",
                        [run["polls"] * FLOATS["points"] / run["seconds"] for run in found["derd"]])

    def sweeps(self):
        devices = 100 if self.chosen.short else SWEEP_DEVICES
        text = polled.driver(points=20 * SWEEP_BLOCKS, period_s=0.1, block=40)
        for latency_ms in (5,) if self.chosen.short else (5, 20, 100):
            case = f"devices that take {latency_ms} ms"
            if not self.chosen.wanted(case):
                continue
            with polled.Farm(devices, more=("--latency", latency_ms)) as farm:
                found = bench.interleave(
                    self.chosen.rounds,
                    floor=lambda farm=farm: self.floor(farm, 1, "--period", 0, "--blocks", SWEEP_BLOCKS),
                    derd=lambda farm=farm: self.derd(farm, text, seconds=min(1.5, self.seconds),
                                                     before=2 * SWEEP_BLOCKS))
            least = [latency_ms + devices * run["cpu_read"] / 1000 for run in found["floor"]]
            self.report.row(case, f"sweep of {devices:,} devices, read after read", "ms",
                            [run["gap"] for run in found["derd"]],
                            {"latency + the floor's CPU": least, "floor": [run["gap"] for run in found["floor"]]},
                            at_most=1.25, of="latency + the floor's CPU")

    def ill(self, well):
        """`well`: the same number of devices, of which all are well, in the same rounds."""
        case = "10 % slow, 10 % in pieces, 10 % wrong"
        if not self.chosen.wanted(case) or self.chosen.short:
            return
        with polled.Farm(1000, more=ILL) as farm:
            found = bench.interleave(self.chosen.rounds, derd=lambda: self.derd(farm, living=700))
        for what, word, unit in (("cpu", "CPU per request", "µs"),
                                 ("late99", "lateness of those that are well, 99 % within", "ms")):
            self.report.row(case, word, unit, [run[what] for run in found["derd"]],
                            {"all well": [run[what] for run in well]} if well else None)


def main():
    chosen = bench.options(__doc__, rounds=2)
    run = Bench(chosen)
    sizes = run.sizes()
    run.memory(sizes)
    run.floats()
    run.sweeps()
    run.ill(sizes.get(1000, {}).get("derd"))
    run.report.note(
        "One poll: a request of 12 bytes, an answer of 89, 20 float32 points decoded, the device's state "
        "published, announced and given to history. derd, the floor and the peers run on one processor with all "
        "their threads, the devices on the other. The error of a period is its distance from what is due, as "
        "the device sees it; lateness is told against the earliest read of the same device. A sweep is the time "
        "from one read of a device to its next while all are read without a pause; with devices that answer in 5 ms "
        "that takes both processors nearly whole, so whatever else runs shows in it first.")
    run.report.note(
        "What the floor costs is the kernel's work on the connections, and derd's is the same: one send and "
        "one read a poll, no read in vain. Start-up, connecting and back-off are not in the figures, which "
        "begin when each device was read two to six times. With a thousand devices and more derd is measured "
        "over a minute, so that what history does once in a minute is in it with its share; a stretch of ten "
        "seconds may have all of it or nothing.")
    run.report.note(
        "10,000 devices, by a profile of one run on a machine that was not quiet (4,000 samples a second; "
        "microseconds of a poll). Floor 13.1: 9.1 in send, which carries the frame to the device over "
        "loopback and wakes it, 2.2 in epoll_wait and going to sleep, 0.9 in recv, 0.9 other. derd's engine "
        "18.3: 8.9 in send, 0.9 in epoll_wait, 1.6 in read (libuv's, by way of the file), 0.4 other kernel, "
        "so 11.8 where the floor's kernel takes 12.5; then 5.2 in its own code, 1.3 in the C library, libuv "
        "and the clock. The floor takes 2.5 answers of an epoll_wait, derd 8: batches are not the difference."
        " Much of its own code is waiting for memory: a poll touched 86 lines of 64 bytes that no cache held "
        "(54 read, 32 written, as callgrind counts with a cache smaller than the devices are), since 95 MiB "
        "of devices fit none; what an answer goes into is now fetched while its request is on its way. The "
        "floor keeps some 300 bytes of a device. 1.3 times the floor leaves 3 to 4 of these microseconds for "
        "all that is decoded, decided, published and kept.")
    run.report.note(
        "History at 10,000 devices, the same profile: 7.9, with the rows of a minute and copying the log into"
        " the file; 2.2 of it in SQLite, 1.9 in pwrite, 1.5 in pread, 0.6 in fdatasync, 1.7 other. Each round"
        " of five seconds touches a page of 4 KiB of each device, which a cache of 2 MiB does not hold; "
        "rounds farther apart would lose more in a crash than is promised, and a larger cache is memory. "
        "Copying the log less often wrote 19 % fewer bytes and took the same time.")
    run.report.note(
        "1,000 devices, the same way. Floor 33.0: 18.5 in send, 10.2 in epoll_wait, 2.1 in recv, 2.2 other. "
        "derd's engine 42.8: 17.6 in send, 8.5 in epoll_wait, 2.3 in read, 0.5 other kernel, so 28.9 where "
        "the floor's kernel takes 31; 9.7 in its own code, 4.3 in libuv, the C library and the clock. These "
        "are 13,500 instructions, a quarter of them to decode, a seventh each to publish and for history, begun"
        " anew each time the processor was in the kernel or asleep. At 100 devices the same work is woken for"
        " each answer alone. A Lua hook adds 20,400: half lay out the 20 values and `dev`, a seventh takes "
        "`dev.state` in and out, which is kept outside of Lua, an eighth is the collector, the rest is the "
        "script, the call and its budget. A read of 50 floats takes 13,000, of which 7,600 decode. Where the "
        "floor alone costs nearly a tenth of Node-RED, nothing that decodes can be at a tenth.")
    run.report.note(
        "Memory of a device, in bytes that it asked of the heap (heaptrack, 2,000 devices): 1,570 the device, 1,060 "
        "its entry of the site file (775 of them the tree that was parsed, kept to see what a new file or a change by "
        "the API makes other), 1,105 what is measured and what is published of that, 768 its link and socket, 760 its "
        "machine with blocks and polls, 504 the values that this decodes into and their times, 488 what was decided, "
        "444 its card, 352 what history knows of it, 140 identity: 7.0 KiB, and each piece has a head of the "
        "heap. Beside it five samples wait for history, some 200 bytes each (74 the ids of device and cluster), and "
        "SQLite has 2 MiB of pages of history at most. The tree kept as text (some 0.7 KiB less) and ids told once "
        "and not in each sample (0.3 KiB less), both not done, would leave some 8.5 KiB: the target asks for more, "
        "as the values that stand in the machine, the device and its card.")
    run.report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
