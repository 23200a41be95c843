#!/usr/bin/env python3
"""What Lua costs the host: a call of a hook, a reload, memory for each driver and each device.

    python3 tests/bench/scripts.py [--devices 1000] [--seconds 10] [--rounds 3]

Each figure is the difference between runs that alternate on the same machine: the same farm of Modbus
devices, polled once a second with 40 registers each, by a driver without hooks, and by the same driver
with one hook. It takes the programs from build/, or from where DERD_BUILD says. No figure decides a test."""

import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import thousand  # noqa: E402
from harness import BUILD, Host, until  # noqa: E402

VALUES_HOOK = """hooks = { values = function(dev, values)
    dev.state.calls = (dev.state.calls or 0) + 1
    return { activePower = (values.activePowerL1 or 0) + (values.activePowerL2 or 0) }
  end },
}
"""
RELOADS = 20
EXTRA_DRIVERS = 100


def with_hook(text):
    return text.rstrip().removesuffix("}") + VALUES_HOOK


class Bench:
    """A farm and a host on it; `with` ends both."""

    def __init__(self, devices, text, extra=()):
        self.devices, self.text, self.extra = devices, text, dict(extra)

    def __enter__(self):
        self.farm = subprocess.Popen([BUILD / "modbus_farm", "--devices", str(self.devices),
                                      "--units", "1"], stdout=subprocess.PIPE, text=True)
        ports = [int(port) for port in self.farm.stdout.readline().split()[1:]]
        self.folder = tempfile.TemporaryDirectory()
        self.drivers = pathlib.Path(self.folder.name) / "drivers"
        self.drivers.mkdir()
        (self.drivers / "bench_meter.lua").write_text(self.text)
        for name, text in self.extra.items():
            (self.drivers / f"{name}.lua").write_text(text)
        self.host = Host(self.folder.name, thousand.site(ports, 1, self.devices),
                         arguments=("--log-level", "warning"))
        until(lambda: thousand.online(self.host) == self.devices, "all devices are online", 120)
        return self

    def __exit__(self, *_):
        self.host.stop()
        self.farm.send_signal(signal.SIGTERM)
        self.figures = json.loads(self.farm.communicate(timeout=30)[0])
        self.folder.cleanup()

    def cpu_per_poll_us(self, seconds):
        _, user, system = thousand.measure(self.host, seconds)
        return 1e6 * (user + system) / (self.devices * seconds)

    def memory_kib(self):
        """After the start's garbage is gone: what stays."""
        return 1024 * thousand.memory_mib(self.host.pid_of_child(), "VmRSS")

    def generation(self):
        return self.host.body("/v1/drivers/bench_meter")["generation"]

    def reload(self, count):
        for i in range(count):
            before = self.generation()
            new = self.drivers / "new"
            new.write_text(f"-- {i}\n{self.text}")
            new.rename(self.drivers / "bench_meter.lua")
            until(lambda seen=before: self.generation() > seen, "the new generation is taken")


def reload(devices, seconds):
    """(CPU of one reload in ms, the farm's figures), from a stretch with reloads against one without."""
    with Bench(devices, with_hook(thousand.driver())) as bench:
        pid = bench.host.pid_of_child()
        quiet = bench.cpu_per_poll_us(seconds)
        began, before = time.monotonic(), sum(thousand.cpu_s(pid))
        bench.reload(RELOADS)
        used_s = sum(thousand.cpu_s(pid)) - before
        polls_s = quiet * 1e-6 * devices * (time.monotonic() - began)
        assert thousand.online(bench.host) == devices
    return 1000 * (used_s - polls_s) / RELOADS, bench.figures


def memory(text, devices, extra=()):
    with Bench(devices, text, extra) as bench:
        threading.Event().wait(3)  # polls, so that every buffer has its size
        return bench.memory_kib()


def extra_drivers():
    text = with_hook(thousand.driver())
    return {f"bench_{i}": text.replace('"bench_meter"', f'"bench_{i}"') for i in range(EXTRA_DRIVERS)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    plain, hooked = thousand.driver(), with_hook(thousand.driver())
    cpu = {plain: [], hooked: []}
    for _ in range(options.rounds):
        for text, figures in cpu.items():
            with Bench(options.devices, text) as bench:
                figures.append(bench.cpu_per_poll_us(options.seconds))
    without, having = statistics.median(cpu[plain]), statistics.median(cpu[hooked])
    reload_cpu_ms, figures = reload(options.devices, options.seconds)
    one = memory(plain, 1)
    many, many_hooked = memory(plain, options.devices), memory(hooked, options.devices)
    drivers = memory(plain, 1, extra_drivers())
    period, others = figures["periodMs"], options.devices - 1
    print(f"""
{options.devices} devices, each polled once a second, 40 registers, 20 points; median of {options.rounds}
CPU per poll, no hook        {without:.0f} microseconds (lowest {min(cpu[plain]):.0f})
CPU per poll, values hook    {having:.0f} microseconds (lowest {min(cpu[hooked]):.0f}): \
{having - without:+.0f} for the call, ratio {having / without:.2f}
reload under {options.devices} devices    {reload_cpu_ms:.1f} ms of CPU; periods meanwhile: median \
{period["median"]} ms, 99 % within {period["p99"]} ms, at most {period["max"]} ms
memory of a device           {(many - one) / others:.1f} KiB, with a hook \
{(many_hooked - one) / others:.1f} KiB
memory of a driver           {(drivers - one) / EXTRA_DRIVERS:.1f} KiB with its Lua state
memory of the host           {one / 1024:.1f} MiB with one device
""")


if __name__ == "__main__":
    main()
