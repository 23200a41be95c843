#!/usr/bin/env python3
"""REST: how many answers a second, and how late, beside nginx that serves a file of the same bytes.

1,000 devices are polled once a second all the while, also during nginx' turn, so that both have the same
processor left. Host or nginx on one processor; devices and clients (wrk, and clients that count for
themselves) on another. Every request to the host carries a token; any answer that is not 2xx ends the run."""

import contextlib
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import polled
from bench import (BUILD, HOST_CORE, ROOT, WORLD_CORE, Report, interleave, kernel_share, need, on_core, options,
                   quantile, run_s)
from harness import Host, free_port, until

CONNECTIONS = (1, 16, 64, 256)
CONSTRAINTS = 250
CASES = ("one", "page", "list", "effective")  # words for --only; and polling, clients, health
FEW_THREADS = 64  # as a host has by itself
MANY_THREADS = max(CONNECTIONS) + FEW_THREADS
WORKER = "civetweb-worker"
REST_NICE = 19  # as the host's own threads when many ask

LOAD = """return {
  api = 1, name = "bench_load", version = "1", manufacturer = "Bench", models = { "40" }, type = "heatPump",
  link = { kinds = { "tcp" }, maxBlock = 40 },
  points = {
    { name = "activePower", kind = "input", address = 0, encoding = "float32", period = 1 },
    { name = "_power", kind = "holding", address = 60, encoding = "uint32", unit = "W", period = "never",
      writable = { min = 0, max = 100000 } },
  },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 11000 } },
  controls = { withoutSetPoint = "followsMax", charge = { { point = "_power", from = "power" } },
    hold = { { point = "_power", value = 0 } } },
}
"""

WRK = """done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format('figures {"requests":%d,"seconds":%.6f,"p50Ms":%.4f,"p99Ms":%.4f,"not2xx":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""

NGINX = """{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile {sendfile}; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 300;
  open_file_cache max=100 inactive=600s; open_file_cache_valid 600s;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  default_type application/json;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files; }}
}}
"""


def site(ports, threads):
    devices = "\n".join(
        f'{{ key = "m{i}", driver = "{"bench_load" if i == 0 else "bench_meter"}", '
        f'link = "tcp://127.0.0.1:{port}", unit = 1 }},' for i, port in enumerate(ports))
    return f"""return {{ http = {{ listen = "127.0.0.1:@HTTP@", threads = {threads}, rate = 100000, burst = 100000 }},
  store = {{ directory = "state" }}, clusters = {{ {{ key = "home", devices = {{
{devices}
}} }} }} }}
"""


@contextlib.contextmanager
def host_core():
    """What is started inside runs on the host's processor, with all its threads."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {HOST_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


class Nginx:
    """One worker that serves `files`, {name: bytes}."""

    def __init__(self, folder, files):
        self.folder = folder
        (folder / "files").mkdir(parents=True)
        for name, content in files.items():
            (folder / "files" / name).write_bytes(content)
        self.port = free_port()
        # A file of a page or two is quicker with read and writev, a large one with sendfile.
        (folder / "nginx.conf").write_text(NGINX.format(
            user="user root;" if os.geteuid() == 0 else "",  # the folder is nobody else's
            folder=folder, port=self.port, sendfile="on" if max(map(len, files.values())) > 16384 else "off"))
        self.process = subprocess.Popen(
            on_core(HOST_CORE, [need("nginx", "nginx-light"), "-p", folder, "-c", folder / "nginx.conf"]),
            stderr=subprocess.DEVNULL, start_new_session=True)
        until(self.listens, "nginx listens")
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.pid = int(until(pathlib.Path(children).read_text, "nginx has a worker").split()[0])  # the worker

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu_s(self):
        return run_s(self.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Floor:
    """The HTTP library alone, as many threads as the host has, with one of Nginx' files in memory."""

    def __init__(self, nginx, name, threads):
        self.port = free_port()
        self.process = subprocess.Popen(
            on_core(HOST_CORE, ["nice", "-n", str(REST_NICE), BUILD / "rest_floor", f"127.0.0.1:{self.port}", threads,
                                nginx.folder / "files" / name]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "ready\n"

    def cpu_s(self):
        return run_s(self.pid)

    def stop(self):
        self.process.communicate()


class Api:
    """The host: its API's threads apart from those that poll."""

    def __init__(self, folder, farm, threads):
        drivers = folder / "drivers"
        drivers.mkdir(parents=True)
        (drivers / "bench_meter.lua").write_text(polled.driver())
        (drivers / "bench_load.lua").write_text(LOAD)
        with host_core():
            self.host = Host(folder, site(farm.ports, threads), arguments=("--log-level", "warning"))
        self.port, self.token = self.host.port, self.host.token
        self.pid = self.host.pid_of_child()
        until(lambda: polled.online(self.host) == len(farm.ports), "all devices are online", 120)

    def cpu_s(self):
        """Of the API's threads alone."""
        total = 0
        for thread in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                if (thread / "comm").read_text().strip() == WORKER[:15]:
                    total += int((thread / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass
        return total / 1e9

    def fill(self):
        """250 constraints on the first device, all in force; one creator may have 50."""
        path = "/v1/clusters/home/devices/m0/constraints:batch"
        for first in range(0, CONSTRAINTS, 50):
            items = [{"priority": 1000 + i, "minActivePower": 10 * i, "maxActivePower": 10000 - 10 * i,
                      "validFor": 36000, "onConflict": "clamp", "reason": f"bench {i}"}
                     for i in range(first, min(first + 50, CONSTRAINTS))]
            creator = self.host.make_token(f"creator{first}", 3999)
            status, body, _ = self.host.request("POST", path, {"constraints": items}, creator)
            assert status == 200, body

    def raw(self, path):
        """The bytes of an answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
                               "Connection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head, body = answer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 "), head
        return body

    def stop(self):
        self.host.stop()


def wrk(folder, port, path, connections, seconds, token=None):
    """What wrk found, {requests, seconds, p50Ms, ...}. It steps back behind the devices beside it."""
    script = folder / "figures.lua"
    script.write_text(WRK)
    key = ["-H", f"Authorization: Bearer {token}"] if token else []
    said = subprocess.run(
        on_core(WORLD_CORE, ["nice", "-n", "5", "wrk", "-t", "1", "-c", connections, "-d", f"{seconds}s", *key,
                             "-s", script, f"http://127.0.0.1:{port}{path}"]),
        capture_output=True, text=True, check=True)
    figures = json.loads(said.stdout.split("figures ", 1)[1])
    assert figures["not2xx"] == 0, f"{path}: {figures['not2xx']} answers are not 2xx"
    return figures


def clients(api, path, count, seconds):
    """What clients that count for themselves found; see rest_clients.c."""
    said = subprocess.run(
        on_core(WORLD_CORE, ["nice", "-n", "5", BUILD / "rest_clients", "--port", api.port, "--clients", count,
                             "--seconds", seconds, "--path", path, "--token", api.token]),
        capture_output=True, text=True, check=True)
    figures = json.loads(said.stdout)
    assert figures["not200"] == 0, figures
    return figures


class Bench:
    def __init__(self, chosen, report, folder):
        self.chosen, self.report, self.folder = chosen, report, folder
        self.devices = 50 if chosen.short else 1000

    def measured(self, server, path, connections, token=None):
        before, ticks = server.cpu_s(), kernel_share(server.pid)[1]
        figures = wrk(self.folder, server.port, path, connections, 1, token)
        figures["cpuUs"] = 1e6 * (server.cpu_s() - before) / max(1, figures["requests"])
        figures["kernelUs"] = figures["cpuUs"] * kernel_share(server.pid, ticks)[0]
        figures["rate"] = figures["requests"] / figures["seconds"]
        return figures

    # --- answers a second, beside nginx ------------------------------------------------------------

    def beside_nginx(self, api, nginx, floor, case, path, name, connections, targets):
        runs = {"derd": lambda: self.measured(api, path, connections, api.token),
                "nginx": lambda: self.measured(nginx, f"/{name}", connections)}
        if floor:
            runs["civetweb"] = lambda: self.measured(floor, "/", connections)
        column = {who: {what: [figures[what] for figures in rounds] for what in rounds[0]}
                  for who, rounds in interleave(self.chosen.rounds, **runs).items()}
        derd = column["derd"]
        others = {what: {who: column[who][what] for who in column if who != "derd"} for what in derd}
        label = f"{case}, {connections} connection{'s' if connections > 1 else ''}"
        within = "; ".join(f"{who}: half within {statistics.median(figures['p50Ms']):.3g} ms, 99 % within "
                           f"{statistics.median(figures['p99Ms']):.3g} ms" for who, figures in column.items())
        self.report.row(label, "answers", "/s", derd["rate"], others["rate"], of="nginx",
                        at_least=targets.get(connections), note=within)
        self.report.row(label, "processor for one answer", "µs", derd["cpuUs"], others["cpuUs"])
        if floor:
            self.report.row(label, "of that in the kernel", "µs", derd["kernelUs"], others["kernelUs"])
        return {who: statistics.median(figures["rate"]) for who, figures in column.items()}

    def throughput(self, api):
        home = "/v1/clusters/home"
        cases = [("one device's flexibility", f"{home}/devices/m{self.devices // 2}/flexibility", {16: 0.9, 64: 0.8}),
                 (f"flexibility of {self.devices:,} devices, page of {min(500, self.devices)}", f"{home}/flexibility",
                  {}),
                 (f"list of {CONSTRAINTS} constraints", f"{home}/devices/m0/constraints?limit={CONSTRAINTS}", {}),
                 (f"effective of {CONSTRAINTS} constraints", f"{home}/devices/m0/effective", {})]
        bars = []
        for word, (case, path, targets) in zip(CASES, cases):
            if not self.chosen.wanted(word) or (self.chosen.short and not targets):
                continue
            name = path.rsplit("/", 1)[1].split("?")[0] + str(path.count("/"))
            body = api.raw(path)
            nginx = Nginx(self.folder / name, {name: body})
            floor = Floor(nginx, name, MANY_THREADS) if targets else None
            try:
                for connections in (16,) if self.chosen.short else CONNECTIONS:
                    rates = self.beside_nginx(api, nginx, floor, f"{case} ({len(body):,} bytes)", path, name,
                                              connections, targets)
                    if targets:
                        bars += [(f"{connections} connection{'s' * (connections > 1)}: {label}", rates[who], kind)
                                 for who, label, kind in (("derd", "derd", "derd"), ("nginx", "nginx, a file", "peer"),
                                                          ("civetweb", "civetweb, from memory", "floor"))]
            finally:
                nginx.stop()
                if floor:
                    floor.stop()
        if bars:
            self.report.note(
                "nginx keeps all connections in one thread that runs on while there is work. The HTTP library that the "
                "host stands on keeps a thread for each connection, and each request wakes one: three calls of the "
                "kernel and a switch between threads. The column civetweb is that library with the host's settings, "
                "which answers from memory and looks at nothing: more than its part of nginx no handler can reach. "
                "What the host adds (the token, its rate, routing, the live values as JSON, their ETag) is the "
                "difference between derd and civetweb in processor for one answer.")
            self.report.bars("One device's flexibility with a token, answers a second", "1/s", bars)

    # --- what polling notices of it ----------------------------------------------------------------

    def lateness(self, api, farm):
        path = f"/v1/clusters/home/devices/m{self.devices // 2}/flexibility"
        seconds = 2 if self.chosen.short else 5

        def late():
            return polled.quantile_ms(farm.figures()["lateness"], 0.99)

        def quiet():
            farm.figures()
            time.sleep(seconds)
            return late()

        def busy(connections):
            farm.figures()
            wrk(self.folder, api.port, path, connections, seconds, api.token)
            return late()

        crowds = (64,) if self.chosen.short else (16, 64)
        found = interleave(self.chosen.rounds, quiet=quiet,
                          **{f"busy{count}": lambda count=count: busy(count) for count in crowds})
        for connections in crowds:
            self.report.row(f"polling {self.devices:,} devices while {connections} connections ask without a pause",
                            "99 % of the reads are late by at most", "ms", found[f"busy{connections}"],
                            {"nobody asks": found["quiet"]}, at_most=2, of="nobody asks")

    # --- more clients than threads -----------------------------------------------------------------

    def crowded(self, api):
        path = "/v1/clusters/home/devices/m1/flexibility"
        count = 4 * FEW_THREADS
        rounds = interleave(self.chosen.rounds, derd=lambda: clients(api, path, count,
                                                                     0.5 if self.chosen.short else 2))["derd"]
        case = f"{count} clients at {FEW_THREADS} threads"
        self.report.row(case, "clients without an answer", "", [one["starved"] for one in rounds], at_most=0)
        self.report.row(case, "answers of the slowest client, of the fastest's", "",
                        [one["slowest"] / max(1, one["fastest"]) for one in rounds])
        self.report.row(case, "longest wait of anyone", "ms", [one["longestMs"] for one in rounds])

    # --- clients that nobody wants -----------------------------------------------------------------

    def health(self, port, seconds, took_ms):
        """Asks for /health, each time on a connection of its own; a failure counts as a minute."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            since = time.monotonic()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: connection.recv(65536), b""))
                good = answer.startswith(b"HTTP/1.1 200 ")
            except OSError:
                good = False
            took_ms.append(1e3 * (time.monotonic() - since) if good else 60000.0)
            time.sleep(0.01)

    def probe(self, ports, seconds):
        took = [[] for _ in ports]
        threads = [threading.Thread(target=self.health, args=(port, seconds, times))
                   for port, times in zip(ports, took)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return took

    def unwanted(self, api):
        count, seconds = (200, 0.7) if self.chosen.short else (2000, 4)
        ports = (api.host.service_port, api.port)
        quiet = self.probe(ports, seconds)
        crowd = subprocess.Popen(
            on_core(WORLD_CORE, ["nice", "-n", "5", sys.executable, ROOT / "tests/system/hostile_clients.py", ports[1],
                                 ports[0], count, api.token]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert crowd.stdout.readline() == "ready\n"
            busy = self.probe(ports, seconds)
        finally:
            crowd.stdin.close()
            crowd.wait()
            crowd.stdout.close()
        self.report.note(
            "The service port answers /health, /ready and /metrics whoever crowds the API's port; watchdogs and "
            "Prometheus belong there. On the API's port those that came before are waited for: clients that dawdle are "
            "sent away after 100 ms while threads are short, so it answers all, in their turn.")
        for port, before, after in zip(("service port", "API's port"), quiet, busy):
            case = f"/health on the {port}, {count:,} idle or slow connections"
            for share, what in ((0.5, "half within"), (0.99, "99 % within"), (1, "all within")):
                self.report.row(case, what, "ms", quantile(after, share), {"no others": quantile(before, share)},
                                at_most=100 if share == 1 and port == "service port" else None)


def main():
    chosen = options(__doc__)
    report = Report("rest", "REST: answers, beside nginx serving a file", chosen)
    if not need("wrk", "wrk") or not need("nginx", "nginx-light"):
        sys.exit(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        bench = Bench(chosen, report, folder)
        for threads, runs in ((MANY_THREADS, {"throughput": CASES, "lateness": ("polling",)}),
                              (FEW_THREADS, {"crowded": ("clients",), "unwanted": ("health",)})):
            chosen_runs = [run for run, words in runs.items() if any(chosen.wanted(word) for word in words)]
            if not chosen_runs:
                continue
            with polled.Farm(bench.devices) as farm:
                api = Api(folder / f"host{threads}", farm, threads)
                try:
                    api.fill()
                    for run in chosen_runs:
                        getattr(bench, run)(*((api, farm) if run == "lateness" else (api,)))
                finally:
                    api.stop()
    report.note(
        "What keeps one device's flexibility from 0.9 of nginx: the library alone is at about that, and what the host "
        "adds to it is shown under \"Where the work goes\". Of some 59,000 instructions outside of the kernel 13,000 are "
        "the library's; 21,000 turn the live values into 1.8 kB of JSON, 10,000 hash them for their ETag (so that a "
        "client that has them is told so in 200 bytes, and never by mistake), 4,000 read the head once more, by the "
        "stricter rules, 3,000 look at the token and its rate, 2,000 put the answer together. In the kernel, both make "
        "the same three calls (poll, recvfrom, sendto) and one switch between threads, as strace and the counts of "
        "switches say, with the same bytes; derd's take longer all the same. "
        "nginx takes most of its answer in the kernel, too: 0.9 of it would leave next to nothing for all above the "
        "kernel, and the library's own calls take as much already, since it wakes a thread for each request. Lists and "
        "explanations of 250 constraints are made anew for each answer, too.")
    report.write()


if __name__ == "__main__":
    main()
