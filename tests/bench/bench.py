"""What all benchmarks share: options, the machine, processors, CPU time, interleaved rounds, and the
report that each writes to build/bench/NAME.json (report.py makes the tables and pictures of it).

A figure is only worth something beside another one that was taken in the same minute: each case runs
the host, the floor (a bare program that moves the same bytes) and the peers in turn, round by round,
and tells the median of the ratios of the rounds. No figure decides a test."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import sys

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parents[1]
sys.path.insert(0, str(BENCH.parent / "system"))

BUILD = pathlib.Path(os.environ.get("DERD_BUILD", ROOT / "build"))

# Which processor runs what: the host (or its floor, or a peer) alone on one, all that plays the world
# around it (devices, clients) on another. On a machine with one processor they share it.
CORES = sorted(os.sched_getaffinity(0))
HOST_CORE, WORLD_CORE = CORES[0], CORES[-1]


def on_core(core, command):
    """The command line that runs `command` on one processor; threads it starts stay there too."""
    return ["taskset", "-c", str(core), *map(str, command)]


def pin(pid, core):
    """Moves a running process with all its threads to one processor."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(thread), {core})
        except ProcessLookupError:
            pass


def run_s(pid):
    """Seconds on a processor of a process with all its threads, to a nanosecond (schedstat)."""
    total = 0
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def kernel_share(pid, before=None):
    """Of a process' CPU time so far, or since `before` (ticks of an earlier call), the part within the kernel;
    and the ticks now. The system's clock looks 250 times a second or so where each processor is: it takes a
    second of work to say this to a few percent."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]), int(fields[12])
    user, system = (now - then for now, then in zip(ticks, before or (0, 0)))
    return system / max(1, user + system), ticks


def memory_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return float("nan")


def quantile(values, share):
    """The value that `share` of all stand at or below; nan of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))] if ordered \
        else float("nan")


def machine():
    model = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            model = line.split(":", 1)[1].strip()
            break
    system = "unknown system"
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            system = line.split("=", 1)[1].strip('"')
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": model, "cores": len(CORES), "memoryGiB": round(memory_gib, 1),
            "kernel": platform.release(), "system": system,
            "virtual": "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text()}


def options(description, rounds=5):
    """The options that every benchmark takes."""
    os.sched_setaffinity(0, {WORLD_CORE})  # a client that counts for itself is of the world, too
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--short", action="store_true",
                        help="one small round of each case: shows that it works, its figures are worth little")
    parser.add_argument("--rounds", type=int, default=None, help=f"interleaved rounds (otherwise {rounds})")
    parser.add_argument("--only", default="", help="cases whose name holds one of these, with commas between")
    parser.add_argument("--out", type=pathlib.Path, default=BUILD / "bench", help="where the report goes")
    chosen = parser.parse_args()
    if chosen.rounds is None:
        chosen.rounds = 1 if chosen.short else rounds
    chosen.wanted = lambda case: not chosen.only or any(word in case for word in chosen.only.split(","))
    return chosen


def interleave(rounds, **runs):
    """Calls each of `runs` once in each round, in turn: {name: [figure of each round]}."""
    figures = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            print(f"    round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            figures[name].append(run())
    return figures


def listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


class Report:
    """The rows of one benchmark. `name` is its file, `title` the heading of its table."""

    def __init__(self, name, title, chosen):
        self.name, self.out = name, chosen.out
        self.report = {"name": name, "title": title, "short": chosen.short, "rounds": chosen.rounds,
                       "date": datetime.date.today().isoformat(), "machine": machine(), "rows": [],
                       "pictures": [], "notes": []}

    def row(self, case, what, unit, derd, beside=None, at_most=None, at_least=None, of=None, note=""):
        """One figure: `derd` is a number or a list, one number a round; `beside` the same of others,
        {"floor": [...], "collectd": [...]}. The target `at_most` or `at_least` is of derd's figure
        divided by that of `of` in the same round (a name in `beside`), or of the figure itself."""
        derd = listed(derd)
        beside = {other: listed(values) for other, values in (beside or {}).items()}
        ratios = {}
        for other, values in beside.items():
            pairs = [a / b for a, b in zip(derd, values) if b]
            if pairs:
                ratios[other] = {"median": statistics.median(pairs), "least": min(pairs), "most": max(pairs)}
        judged = ratios.get(of, {}).get("median") if of else statistics.median(derd)
        met = None
        if judged is not None and (at_most is not None or at_least is not None):
            met = (at_most is None or judged <= at_most) and (at_least is None or judged >= at_least)
        row = {"case": case, "what": what, "unit": unit, "derd": statistics.median(derd),
               "rounds": len(derd), "spread": [min(derd), max(derd)],
               "beside": {other: statistics.median(values) for other, values in beside.items()},
               "ratios": ratios, "of": of, "atMost": at_most, "atLeast": at_least, "met": met, "note": note}
        self.report["rows"].append(row)
        others = "".join(f", {other} {row['beside'][other]:.4g} (x {ratio['median']:.2f})"
                         for other, ratio in ratios.items())
        verdict = "" if met is None else "  meets its target" if met else "  MISSES its target"
        print(f"  {case}: {what} {row['derd']:.4g} {unit}{others}{verdict}", flush=True)
        return row

    def bars(self, title, unit, bars):
        """A picture: `bars` is [(label, value, who)], who one of "derd", "floor", "peer"."""
        self.report["pictures"].append({"title": title, "unit": unit, "bars": [list(bar) for bar in bars]})

    def note(self, text):
        """A sentence below the table."""
        self.report["notes"].append(text)

    def write(self):
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{self.name}.json"
        path.write_text(json.dumps(self.report, indent=1) + "\n")
        print(f"  written: {path}", flush=True)


def need(program, package):
    """The path of a program that a peer needs, or None with a word about it."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/bin")
    if not path:
        print(f"  {program} is missing (Debian package {package}): left out", flush=True)
    return path
