"""What the same polling costs with what one would take otherwise: collectd's modbus plugin, and Node-RED
with node-red-contrib-modbus. They are programs that are run, each alone on HOST_CORE; the devices are those
of a farm (polled.py), each behind a port of its own, and 20 float32 in 40 input registers are wanted of each
once a second, kept in memory as that program keeps them, with nothing written anywhere. How often they were
read is what the farm says."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import bench

FOLDER = pathlib.Path(__file__).resolve().parent / "peers"
NODE_RED = bench.BUILD / "bench" / "node_red"
VALUES = 20
PATIENCE_S = 8
RUNS = 2  # of a peer, in the first rounds: they take long to start
REQUESTS = {"collectd": VALUES, "node_red": 1}  # of a device in a second
NAMES = ("collectd", "Node-RED", "Node-RED, no queue")
NOTE = (
    "The peers read all devices at one moment of the second and sleep for the rest; derd and the floor spread the "
    "reads over the second. That wakes them more often, which is a good part of what a poll of theirs costs, and "
    "is what keeps gateways, devices and the processor evenly loaded. They are run in the first rounds only.")
COLLECTD_NOTE = (
    "collectd reads each value with a request of its own, as its modbus plugin has no other way: 20 of them for "
    "the 40 registers of a device, which derd and Node-RED read with one. The figure per poll is what one gets; "
    "the figure per request leaves that out, and holds one value of collectd against 20 of derd. 20,000 requests a "
    "second are about all that its reading threads get through on one processor, so it may not keep the pace.")
NODE_RED_NOTE = (
    "Node-RED 4 runs without editor and HTTP, with one modbus-read node and one client for each device; one function "
    "node decodes the 20 values and keeps them in the global context. Its clients queue what they send, as the "
    "editor makes them; without that queue they cost less, which is told apart. node-red-contrib-modbus is installed "
    "with modbus-serial from npm in place of the copy of it that it names at another address.")


def collectd_settings(ports, folder):
    data = "\n".join(
        f'  <Data "v{i}">\n    RegisterBase {2 * i}\n    RegisterType Float\n    RegisterCmd ReadInput\n'
        f'    Type gauge\n    Instance "v{i}"\n  </Data>' for i in range(VALUES))
    collect = "\n".join(f'      Collect "v{i}"' for i in range(VALUES))
    hosts = "\n".join(
        f'  <Host "m{i}">\n    Address "127.0.0.1"\n    Port "{port}"\n    Interval 1\n    <Slave 1>\n'
        f'      Instance "meter"\n{collect}\n    </Slave>\n  </Host>' for i, port in enumerate(ports))
    return f"""Hostname "bench"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
ReadThreads {max(5, len(ports) // 20)}
LoadPlugin logfile
<Plugin logfile>
  LogLevel err
  File "{folder}/log"
</Plugin>
LoadPlugin modbus
<Plugin modbus>
{data}
{hosts}
</Plugin>
PostCacheChain "kept"
<Chain "kept">
  <Target "stop">
  </Target>
</Chain>
"""


def node_red_flows(ports, queue):
    flows = [{"id": "tab", "type": "tab", "label": "bench"},
             {"id": "decode", "type": "function", "z": "tab", "name": "", "outputs": 1, "timeout": 0, "noerr": 0,
              "initialize": "", "finalize": "", "libs": [], "wires": [[]],
              "func": (FOLDER / "decode.js").read_text()}]
    for i, port in enumerate(ports):
        flows += [{"id": f"client{i}", "type": "modbus-client", "name": f"m{i}", "clienttype": "tcp",
                   "bufferCommands": queue, "parallelUnitIdsAllowed": True, "stateLogEnabled": False,
                   "queueLogEnabled": False, "failureLogEnabled": False, "showErrors": False,
                   "showWarnings": False, "showLogs": False, "tcpHost": "127.0.0.1", "tcpPort": str(port),
                   "tcpType": "DEFAULT", "unit_id": 1, "commandDelay": 1, "clientTimeout": 1000,
                   "reconnectOnTimeout": True, "reconnectTimeout": 2000},
                  {"id": f"read{i}", "type": "modbus-read", "z": "tab", "name": "", "topic": f"m{i}",
                   "showStatusActivities": False, "logIOActivities": False, "showErrors": False,
                   "showWarnings": False, "unitid": "1", "dataType": "InputRegister", "adr": "0",
                   "quantity": str(2 * VALUES), "rate": "1", "rateUnit": "s", "delayOnStart": False,
                   "startDelayTime": "", "server": f"client{i}", "useIOFile": False, "ioFile": "",
                   "useIOForPayload": False, "emptyMsgOnFail": False, "wires": [["decode"], []]}]
    return flows


def node_red_installed(install=True):
    """Whether Node-RED stands in build/bench/node_red as the lock file has it; put there by npm if asked."""
    lock = (FOLDER / "package-lock.json").read_text()
    mark = NODE_RED / "installed.json"
    if mark.exists() and mark.read_text() == lock:
        return True
    if not install or not shutil.which("npm"):
        print("  Node-RED is not installed: left out", flush=True)
        return False
    NODE_RED.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FOLDER / name, NODE_RED / name)
    print("    installing Node-RED with npm", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=NODE_RED,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                              check=False)
    except subprocess.TimeoutExpired:
        done = None
    if not done or done.returncode != 0:
        print("  Node-RED could not be installed: left out\n" + (done.stdout[-800:] if done else ""), flush=True)
        return False
    mark.write_text(lock)
    return True


def measure(name, command, folder, farm, seconds, warm_s, environment=None):
    """Runs a peer until it polls at its pace or PATIENCE_S have passed, lets it warm up, then looks at it for
    so many seconds: its figures, or None if it did not poll."""
    expected = REQUESTS[name] * len(farm.ports)
    said = pathlib.Path(folder) / "said"
    with said.open("w") as out:
        process = subprocess.Popen(bench.on_core(bench.HOST_CORE, command), stdout=out, stderr=out,
                                   stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        try:
            farm.figures()
            for _ in range(PATIENCE_S):
                time.sleep(1)
                if farm.figures()["requests"] >= 0.97 * expected:
                    break
            time.sleep(warm_s)
            farm.figures()
            before_s, since = bench.run_s(process.pid), time.monotonic()
            time.sleep(seconds)
            used_s, took_s = bench.run_s(process.pid) - before_s, time.monotonic() - since
            requests = farm.figures()["requests"]
            memory = bench.memory_kib(process.pid)
            requests = requests if process.poll() is None else 0
        except (FileNotFoundError, ProcessLookupError):
            requests = 0
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    if requests == 0:
        print(f"  {name} did not poll: left out\n{said.read_text()[-800:]}", flush=True)
        return None
    polls = requests / REQUESTS[name]
    return {"cpu": 1e6 * used_s / polls, "cpu_read": 1e6 * used_s / requests, "core": used_s / took_s,
            "pace": requests / took_s / expected, "memory_kib": memory}


def collectd(farm, seconds, warm_s=2):
    """collectd on all devices of `farm` for so many seconds. None when it is missing, otherwise
    {"cpu": microseconds on a processor for all 20 values of a device once,
     "cpu_read": the same for each request that the farm answered, "core": share of a processor,
     "pace": requests that the farm saw as a share of those that were due, "memory_kib": resident}.
    Not for more than 1,000 devices: its Modbus library takes no descriptor above 1023."""
    program = bench.need("collectd", "collectd-core")
    if not program:
        return None
    with tempfile.TemporaryDirectory() as folder:
        settings = pathlib.Path(folder) / "collectd.conf"
        settings.write_text(collectd_settings(farm.ports, folder))
        return measure("collectd", [program, "-f", "-C", settings], folder, farm, seconds, warm_s)


def node_red(farm, seconds, warm_s=3, queue=True, install=True):
    """Node-RED on all devices of `farm`; figures as those of collectd. `queue`: its clients queue what they
    send; `install`: npm may fetch it."""
    node = bench.need("node", "nodejs")
    if not node or not node_red_installed(install):
        return None
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "flows.json").write_text(json.dumps(node_red_flows(farm.ports, queue)))
        shutil.copy(FOLDER / "settings.js", folder)
        return measure("node_red", [node, NODE_RED / "node_modules" / "node-red" / "red.js", "--userDir", folder,
                                    "--settings", pathlib.Path(folder) / "settings.js"], folder, farm, seconds,
                       warm_s, {"HOME": folder})


def first_only(run, runs=RUNS):
    left = iter(range(runs))
    return lambda: run() if next(left, None) is not None else None


def polling(farm, seconds, install=True):
    """What runs here: {name: a function that gives the figures of one run, None in later rounds}."""
    runs = {}
    if bench.need("collectd", "collectd-core"):
        runs["collectd"] = first_only(lambda: collectd(farm, seconds))
    if bench.need("node", "nodejs") and node_red_installed(install):
        runs["Node-RED"] = first_only(lambda: node_red(farm, seconds))
        runs["Node-RED, no queue"] = first_only(lambda: node_red(farm, seconds, queue=False), 1)
    return runs
