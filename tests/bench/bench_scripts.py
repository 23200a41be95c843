#!/usr/bin/env python3
"""What Lua costs the host: a call of a hook, a tick of a policy, a reload, memory; and what its guards do.

Calls are measured inside the engine beside lua_pcall() of the same function (build/scripts); what a host
with a hook on each poll uses more than one without, and what memory a device has, bench_polling.py tells.
Memory of a driver is the slope between hosts of one and of many."""

import json
import subprocess
import sys
import time
import urllib.request

import bench
import polled
from harness import until

SECONDS = 4
RELOADS = 10
EXTRA_DRIVERS = 100
TICK_DEVICES = 100
POLICY = """return {
  api = 1, name = "bench_policy", every = 1,
  parameters = { a = { type = "devices", device = "meter" }, b = { type = "devices", device = "meter" } },
  run = function(snapshot, params, state)
    local sum = 0
    for _, list in ipairs({ params.a, params.b }) do
      for _, key in ipairs(list) do sum = sum + (snapshot.devices[key].activePower or 0) end
    end
    state.sum = sum
    return {}
  end,
}
"""


def inside(case, count):
    """What build/scripts says of one case."""
    command = bench.on_core(bench.HOST_CORE, [bench.BUILD / "scripts", case, count])
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def metrics(host):
    """{series: value} of the host."""
    with urllib.request.urlopen(f"http://127.0.0.1:{host.service_port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


def of_script(found, name, script):
    return sum(value for series, value in found.items()
               if series.startswith(name + "{") and f'="{script}"' in series)


class WithPolicy(polled.Polling):
    """The same with a policy over all its devices."""

    def start(self):
        site = polled.site
        keys = [f'"m{i}"' for i in range(len(self.farm.ports))]
        half = len(keys) // 2
        policies = ('policies = { { key = "bench", policy = "bench_policy", priority = 100, '
                    f'a = {{ {", ".join(keys[:half])} }}, b = {{ {", ".join(keys[half:])} }} }} }}, ')

        def with_policy(ports):
            return site(ports).replace('{ key = "home", ', '{ key = "home", ' + policies)
        polled.site = with_policy
        try:
            super().start()
        finally:
            polled.site = site
        folder = self.driver_folder.parent / "policies"
        folder.mkdir()
        (folder / "bench_policy.lua").write_text(POLICY)


class Bench:
    def __init__(self, chosen):
        self.chosen = chosen
        self.seconds = 0.5 if chosen.short else SECONDS
        self.devices = 50 if chosen.short else 1000
        self.report = bench.Report("scripts", "Scripts", chosen)
        self.hooked = polled.driver(more=polled.VALUES_HOOK)

    # --- inside the engine -----------------------------------------------------------------------

    def calls(self):
        if not self.chosen.wanted("a call"):
            return
        runs = bench.interleave(self.chosen.rounds, call=lambda: inside("call", 2000 if self.chosen.short else 100000),
                                loop=lambda: inside("loop", 10000 if self.chosen.short else 100000))
        floor = {"lua_pcall": [run["floorUs"] for run in runs["call"]]}
        self.report.row("a call", "of a hook, its arguments the same", "µs",
                        [run["callUs"] for run in runs["call"]], floor,
                        note="budgets of CPU time and memory, a place for errors")
        self.report.row("a call", "of a hook, with dev.state brought in and kept", "µs",
                        [run["hookUs"] for run in runs["call"]], floor)
        self.report.row("a call", "that computes for long", "µs", [run["callUs"] for run in runs["loop"]],
                        {"bare Lua": [run["floorUs"] for run in runs["loop"]]}, at_most=1.05, of="bare Lua",
                        note="what the budget costs a script that behaves")
        self.report.bars("a call of a hook", "µs", [
            ("derd, with dev.state", bench.quantile([run["hookUs"] for run in runs["call"]], 0.5), "derd"),
            ("derd", bench.quantile([run["callUs"] for run in runs["call"]], 0.5), "derd"),
            ("floor: lua_pcall", bench.quantile(floor["lua_pcall"], 0.5), "floor")])

    def runaway(self):
        if not self.chosen.wanted("a runaway script"):
            return
        runs = [inside("runaway", 10 if self.chosen.short else 100) for _ in range(self.chosen.rounds)]
        for place, word in enumerate(("median", "99 %", "most")):
            self.report.row("a runaway script", f"is stopped after its budget of {runs[0]['budgetUs'] / 1000:g} ms "
                            f"of CPU time, {word}", "ms", [run["overUs"][place] / 1000 for run in runs],
                            at_most=2 if place == 2 else None,
                            note="half of them in a loop of pcall" if place == 2 else "")

    def garbage(self):
        if not self.chosen.wanted("garbage"):
            return
        runs = [inside("garbage", 500 if self.chosen.short else 10000) for _ in range(self.chosen.rounds)]
        case = "garbage, 10,000 devices with hooks"
        self.report.row(case, "a call that makes 16 tables, median", "ms", [run["medianUs"] / 1000 for run in runs])
        self.report.row(case, "the longest of 100,000 calls", "ms", [run["mostUs"] / 1000 for run in runs],
                        at_most=5, note="CPU time; the collector runs within calls")

    # --- in a host -------------------------------------------------------------------------------

    def told(self, farm, text):
        """What the host tells of its driver when each device has been read some times."""
        with polled.Polling(farm, text) as host:
            host.settle(1 if self.chosen.short else 5)
            found = metrics(host.host)
        return {"calls": of_script(found, "derd_script_calls_total", "bench_meter"),
                "memory": of_script(found, "derd_script_memory_bytes", "bench_meter"),
                "longest": 1000 * of_script(found, "derd_script_call_cpu_most_seconds", "bench_meter")}

    def polls(self):
        if not self.chosen.wanted("hooks.values of each poll"):
            return
        with polled.Farm(self.devices) as farm:
            runs = bench.interleave(self.chosen.rounds, without=lambda: self.told(farm, None),
                                    hook=lambda: self.told(farm, self.hooked))
        case = f"hooks.values of each poll, {self.devices:,} devices"
        assert all(run["calls"] >= self.devices for run in runs["hook"]), "the hook was not called"
        self.report.row(case, "the longest call", "ms", [run["longest"] for run in runs["hook"]], at_most=5)
        self.report.row("a driver without hooks", "calls of Lua", "calls", [run["calls"] for run in runs["without"]],
                        at_most=0)
        self.report.row("a driver without hooks", "memory of Lua", "bytes",
                        [run["memory"] for run in runs["without"]], at_most=0)

    def tick(self):
        if not self.chosen.wanted("a policy tick"):
            return
        figures = []
        for _ in range(self.chosen.rounds):
            with polled.Farm(TICK_DEVICES) as farm, WithPolicy(farm) as host:
                def ran(host=host):
                    return of_script(metrics(host.host), "derd_script_calls_total", "bench_policy")
                until(lambda: ran() >= (2 if self.chosen.short else 5), "the policy ticks", 60)
                found = metrics(host.host)
                figures.append(1e3 * of_script(found, "derd_script_cpu_seconds_total", "bench_policy") /
                               of_script(found, "derd_script_calls_total", "bench_policy"))
        self.report.row("a policy tick", f"over {TICK_DEVICES} devices", "ms", figures)

    def reload(self):
        if not self.chosen.wanted("a reload"):
            return
        costs, periods = [], []
        reloads = 2 if self.chosen.short else RELOADS
        for _ in range(self.chosen.rounds):
            with polled.Farm(self.devices) as farm, polled.Polling(farm, self.hooked) as host:
                quiet = host.cpu_s(self.seconds)[0] / self.seconds
                began, before = time.monotonic(), bench.run_s(host.pid)
                for i in range(reloads):
                    seen = host.host.body("/v1/drivers/bench_meter")["generation"]
                    new = host.driver_folder / "new"
                    new.write_text(f"-- {i}\n{self.hooked}")
                    new.rename(host.driver_folder / "bench_meter.lua")
                    until(lambda seen=seen: host.host.body("/v1/drivers/bench_meter")["generation"] > seen,
                          "the new generation is taken")
                used = bench.run_s(host.pid) - before - quiet * (time.monotonic() - began)
                costs.append(1000 * used / reloads)
                periods.append(polled.quantile_ms(farm.figures()["period"], 0.99))
        case = f"a reload with {self.devices:,} devices on the driver"
        self.report.row(case, "CPU", "ms", costs, note="with the question for its generation")
        self.report.row(case, "period of its devices meanwhile, 99 % within", "ms", periods, at_most=1100,
                        note="1,000 ms are due")

    def rss(self, drivers=None):
        with polled.Farm(1) as farm, polled.Polling(farm, drivers=drivers) as host:
            host.settle(1 if self.chosen.short else 6)  # a round of history is written
            return host.memory_kib()

    def memory(self):
        if not self.chosen.wanted("memory"):
            return
        extra = {f"bench_{i}": self.hooked.replace('"bench_meter"', f'"bench_{i}"') for i in range(EXTRA_DRIVERS)}
        runs = bench.interleave(min(self.chosen.rounds, 2), one=self.rss, drivers=lambda: self.rss(extra))
        self.report.row("memory", "of the host with one device", "MiB", [kib / 1024 for kib in runs["one"]])
        self.report.row("memory", "of a driver with a hook", "KiB",
                        [(many - one) / len(extra) for one, many in zip(runs["one"], runs["drivers"])])


def main():
    chosen = bench.options(__doc__, rounds=3)
    run = Bench(chosen)
    run.calls()
    run.runaway()
    run.garbage()
    run.polls()
    run.tick()
    run.reload()
    run.memory()
    run.report.note(
        "A call in the engine is beside the same Lua function in a bare state, both with 15 numbers as their "
        "argument. What a call adds is a look at the thread's CPU time, a place for errors and the account of memory. "
        "The timer of the budget is left set from call to call, and nothing runs inside the script until it is "
        "used up.")
    run.report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
