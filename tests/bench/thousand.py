#!/usr/bin/env python3
"""1,000 devices polled once a second: what it costs the host, and how evenly they are read.

Starts the farm of Modbus devices and the host on a site of as many devices, each with one read of 40
registers a second (20 float32), waits until all are online, then measures for a while:

    python3 tests/bench/thousand.py [--devices 1000] [--units 1] [--seconds 30] [--scrape]

It takes the programs from build/, or from where DERD_BUILD says.
--units: devices behind each port; more than one makes gateways, which answer one after the other.
Farm and host share the machine, so figures are those of the host's process alone. CPU per read is
what can be compared between machines of one kind."""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from harness import BUILD, Host, until  # noqa: E402

NAMES = ("voltageL1", "voltageL2", "voltageL3", "currentL1", "currentL2", "currentL3",
         "activePowerL1", "activePowerL2", "activePowerL3", "activePower", "apparentPower",
         "reactivePower", "frequency", "energyImport", "energyExport", "_a", "_b", "_c", "_d", "_e")
TICKS_S = os.sysconf("SC_CLK_TCK")


def driver():
    points = ",\n    ".join(
        f'{{ name = "{name}", kind = "input", address = {2 * i}, encoding = "float32", period = 1 }}'
        for i, name in enumerate(NAMES))
    return f"""return {{
  api = 1, name = "bench_meter", version = "1", manufacturer = "Bench", models = {{ "40" }},
  type = "meter", link = {{ kinds = {{ "tcp" }}, maxBlock = 40 }},
  points = {{
    {points}
  }},
}}
"""


def site(ports, units, count):
    devices = "\n".join(
        f'{{ key = "m{i}", driver = "bench_meter", link = "tcp://127.0.0.1:{ports[i // units]}", '
        f"unit = {i % units + 1} }}," for i in range(count))
    return f"""return {{ http = {{ listen = "127.0.0.1:@HTTP@" }}, store = {{ directory = "state" }},
  clusters = {{ {{ key = "home", devices = {{
{devices}
}} }} }} }}
"""


def cpu_s(pid):
    """User and system seconds of a process with all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS_S, int(fields[12]) / TICKS_S


def memory_mib(pid, word):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(word + ":"):
            return int(line.split()[1]) / 1024
    return float("nan")


def online(host):
    """How many devices are online, page by page."""
    count, cursor = 0, ""
    while True:
        body = host.body("/v1/clusters/home/flexibility" + cursor)
        count += sum(item["connection"] == "online" for item in body["items"])
        if not body.get("nextCursor"):
            return count
        cursor = "?cursor=" + body["nextCursor"]


def scrape(host, times, end):
    """/metrics of the service port each second: how long it took to make, and its size."""
    while not end.wait(1):
        url = f"http://127.0.0.1:{host.service_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        series = [line for line in text.splitlines() if line and line[0] != "#"]
        times.append((float(series[-1].split()[1]), len(series), len(text)))


def measure(host, seconds, scraped):
    pid = host.pid_of_child()
    end = threading.Event()
    scraper = threading.Thread(target=scrape, args=(host, scraped, end)) if scraped is not None else None
    if scraper:
        scraper.start()
    before = cpu_s(pid)
    threading.Event().wait(seconds)
    end.set()
    if scraper:
        scraper.join()
    after = cpu_s(pid)
    assert host.pid_of_child() == pid, "the host was started again"
    return pid, after[0] - before[0], after[1] - before[1]


def run(options):
    farm = subprocess.Popen(
        [BUILD / "modbus_farm", "--devices", str(options.devices), "--units",
         str(options.units)], stdout=subprocess.PIPE, text=True)
    host = None
    scraped = [] if options.scrape else None
    try:
        ports = [int(port) for port in farm.stdout.readline().split()[1:]]
        with tempfile.TemporaryDirectory() as folder:
            drivers = pathlib.Path(folder) / "drivers"
            drivers.mkdir()
            (drivers / "bench_meter.lua").write_text(driver())
            host = Host(folder, site(ports, options.units, options.devices),
                        arguments=("--log-level", "warning"))
            until(lambda: online(host) == options.devices, "all devices are online", 120)
            pid, user, system = measure(host, options.seconds, scraped)
            still = online(host)
            rss, peak = memory_mib(pid, "VmRSS"), memory_mib(pid, "VmHWM")
            host.stop()
    finally:
        if host and host.process.poll() is None:
            host.process.kill()
        farm.send_signal(signal.SIGTERM)
        figures = json.loads(farm.communicate(timeout=30)[0])
    return user, system, rss, peak, still, figures, scraped


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--scrape", action="store_true", help="/metrics once a second meanwhile")
    options = parser.parse_args()
    user, system, rss, peak, still, figures, scraped = run(options)
    cpu = user + system
    period = figures["periodMs"]
    reads = options.devices * options.seconds
    print(f"""
devices online           {still} of {options.devices}, {options.units} behind each port
host CPU in {options.seconds:>3} s        {cpu:.2f} s ({user:.2f} user, {system:.2f} system): \
{100 * cpu / options.seconds:.1f} % of one core
host CPU per read        {1e6 * cpu / reads:.0f} microseconds
host memory              {rss:.1f} MiB, at most {peak:.1f} MiB
period of reads          median {period["median"]} ms, 99 % within {period["p99"]} ms, \
at least {period["min"]} ms, at most {period["max"]} ms
requests, dropped        {figures["requests"]}, {figures["dropped"]}
""")
    if scraped:
        took, series, size = max(scraped)
        print(f"/metrics                 {len(scraped)} times, at most {took * 1e3:.1f} ms to make, {series} series, "
              f"{size / 1024:.0f} KiB\n")
    return 0 if still == options.devices and figures["dropped"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
