"""What benchmarks of polling share: a farm of simulated devices, a driver and a site for it, and a host
on them. The farm plays on WORLD_CORE, the host runs on HOST_CORE."""

import json
import pathlib
import signal
import subprocess
import tempfile
import time

import bench
from harness import Host, until

NAMES = ("voltageL1", "voltageL2", "voltageL3", "currentL1", "currentL2", "currentL3",
         "activePowerL1", "activePowerL2", "activePowerL3", "activePower", "apparentPower",
         "reactivePower", "frequency", "energyImport", "energyExport")
FARM_DEVICES = 4000  # of one process: each needs two of its descriptors
VALUES_HOOK = """
  hooks = { values = function(dev, values)
    dev.state.calls = (dev.state.calls or 0) + 1
    return { activePower = (values.activePowerL1 or 0) + (values.activePowerL2 or 0) }
  end },
"""


def driver(points=20, period_s=1, block=40, more=""):
    """A meter of float32 points in input registers from 0 on; `more`: text in its table, as hooks."""
    names = NAMES + tuple(f"_p{i}" for i in range(len(NAMES), points))
    rows = ",\n    ".join(
        f'{{ name = "{point}", kind = "input", address = {2 * i}, encoding = "float32", period = {period_s} }}'
        for i, point in enumerate(names[:points]))
    return f"""return {{
  api = 1, name = "bench_meter", version = "1", manufacturer = "Bench", models = {{ "40" }},
  type = "meter", link = {{ kinds = {{ "tcp" }}, maxBlock = {block} }},
  points = {{
    {rows}
  }},{more}
}}
"""


def site(ports):
    """A device for each port."""
    devices = "\n".join(f'{{ key = "m{i}", driver = "bench_meter", link = "tcp://127.0.0.1:{port}", unit = 1 }},'
                        for i, port in enumerate(ports))
    return f"""return {{ http = {{ listen = "127.0.0.1:@HTTP@" }}, store = {{ directory = "state" }},
  clusters = {{ {{ key = "home", devices = {{
{devices}
}} }} }} }}
"""


def flexibilities(host):
    """The flexibility of every device, page by page: (item, when its page had come)."""
    cursor = "?limit=500"
    while True:
        body = host.body("/v1/clusters/home/flexibility" + cursor)
        came = time.time()
        for item in body["items"]:
            yield item, came
        if not body.get("nextCursor"):
            return
        cursor = "?limit=500&cursor=" + body["nextCursor"]


def online(host):
    """How many devices are online."""
    return sum(item["connection"] == "online" for item, _ in flexibilities(host))


def all_online(host):
    return all(item["connection"] == "online" for item, _ in flexibilities(host))


def quantile_ms(histogram, share):
    """Of [upper end in microseconds, count]; nan of nothing."""
    total, seen = sum(count for _, count in histogram), 0
    for end, count in sorted(histogram):
        seen += count
        if seen >= share * total:
            return end / 1000
    return float("nan")


def mean_ms(histogram):
    total = sum(count for _, count in histogram)
    return sum((end - 25) * count for end, count in histogram) / total / 1000 if total else float("nan")


class Farm:
    """`devices` simulated devices, each behind a port; `with` ends it. `more`: options of modbus_farm.
    Thousands of devices take several processes."""

    def __init__(self, devices, more=()):
        self.processes = []
        self.ports = []
        while devices > 0:
            count = min(devices, FARM_DEVICES)
            devices -= count
            self.processes.append(subprocess.Popen(
                bench.on_core(bench.WORLD_CORE, [bench.BUILD / "modbus_farm", "--devices", count, *more]),
                stdout=subprocess.PIPE, text=True))
        for process in self.processes:
            self.ports += [int(port) for port in process.stdout.readline().split()[1:]]

    def figures(self):
        """Of all processes since the last time: counts are sums, histograms are joined."""
        for process in self.processes:
            process.send_signal(signal.SIGUSR1)
        joined = {}
        for process in self.processes:
            for name, value in json.loads(process.stdout.readline()).items():
                if isinstance(value, list):
                    bins = joined.setdefault(name, {})
                    for end, count in value:
                        bins[end] = bins.get(end, 0) + count
                elif name == "seconds":
                    joined[name] = value
                else:
                    joined[name] = joined.get(name, 0) + value
        joined = {name: list(value.items()) if isinstance(value, dict) else value
                  for name, value in joined.items()}
        return joined

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.communicate(timeout=30)


class Polling:
    """A host that polls the devices of `farm`; `with` ends it. `living`: as many are to be online before
    it begins. `drivers`: more of them, {name: text}."""

    def __init__(self, farm, text=None, living=None, drivers=None):
        self.farm = farm
        self.living = len(farm.ports) if living is None else living
        self.drivers = {"bench_meter": text or driver(), **(drivers or {})}

    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.driver_folder = pathlib.Path(self.folder.name) / "drivers"
        self.driver_folder.mkdir()
        for name, text in self.drivers.items():
            (self.driver_folder / f"{name}.lua").write_text(text)
        self.host = Host(self.folder.name, site(self.farm.ports),
                         arguments=("--log-level", "warning"))

    def __enter__(self):
        for more in (2, 1, 0):
            try:
                self.start()
                break
            except AssertionError as trouble:  # among thousands of connections a free port is soon taken
                if not more or "cannot listen" not in str(trouble):
                    raise
        try:
            self.pid = self.host.pid_of_child()
            bench.pin(self.pid, bench.HOST_CORE)
            until(lambda: online(self.host) >= self.living, "the living are online", 120)
        except BaseException:
            self.host.kill()
            raise
        return self

    def settle(self, reads):
        """Until each device that lives was read so many times more: the first reads, on arrival, are not on time,
        and what begins with them is not what a poll costs."""
        self.farm.figures()
        left = reads * self.living

        def came():
            nonlocal left
            left -= self.farm.figures()["requests"]
            return left <= 0
        until(came, f"each device is read {reads} times", 120)

    def cpu_s(self, seconds):
        """CPU seconds of the host in a stretch of so many seconds, and the farm's figures of it."""
        self.farm.figures()
        before = bench.run_s(self.pid)
        time.sleep(seconds)
        used = bench.run_s(self.pid) - before
        assert self.host.pid_of_child() == self.pid, "the host was started again"
        return used, self.farm.figures()

    def engine_s(self):
        """CPU seconds of the host's first thread, which is the engine's."""
        schedstat = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/schedstat")
        return int(schedstat.read_text().split()[0]) / 1e9

    def memory_kib(self):
        return bench.memory_kib(self.pid)

    def __exit__(self, *_):
        self.host.stop()
        self.folder.cleanup()
