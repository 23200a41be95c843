"""Deciding: 10,000 devices with 250 constraints each. Loaded and decided at the start, one change, one
boundary, 10,000 boundaries at one instant, everything anew; and what a constraint costs in memory.

The engine itself runs, in build/deciding, on a store that was filled by SQL: batteries at addresses that
nobody answers, so that what is measured is what the loop does. Floors: a bare SELECT over the same rows, a
fold over dense records of 32 bytes in the order of their priorities, and an array of those on the heap."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import bench

PROGRAM = bench.BUILD / "deciding"


def deciding(*arguments):
    """What one run of the program prints; from the top folder, where the drivers are."""
    done = subprocess.run(bench.on_core(bench.HOST_CORE, [PROGRAM, *arguments]), cwd=bench.ROOT,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


class Stores:
    """Filled once each; a run of the engine changes nothing in its own."""

    def __init__(self, folder):
        self.folder, self.filled = folder, {}

    def of(self, devices, each, *how):
        name = "-".join(map(str, (devices, each, *how)))
        if name not in self.filled:
            print(f"    filling a store: {devices} devices, {each} constraints each", file=sys.stderr, flush=True)
            path = self.folder / name
            path.mkdir()
            deciding("fill", path, devices, each, *how)
            self.filled[name] = path
        return self.filled[name]


def measure(chosen, report, stores):
    small, middle, large, each = (5, 10, 20, 50) if chosen.short else (100, 1000, 10000, 250)
    changes = 200 if chosen.short else 20000
    count = large * each
    rounds = bench.interleave(
        chosen.rounds,
        small=lambda: deciding("host", stores.of(small, each), changes),
        middle=lambda: deciding("host", stores.of(middle, each), changes),
        large=lambda: deciding("host", stores.of(large, each), changes),
        empty=lambda: deciding("host", stores.of(large, 0)),
        select=lambda: deciding("load", stores.of(large, each)),
        fold=lambda: deciding("fold", count))
    heap = deciding("heap", count)["heapBytes"] / count
    loaded, empty = rounds["large"], rounds["empty"]
    case = f"{large:,} devices x {each}"

    def of(runs, key):
        return [run[key] for run in runs]

    report.row(case, "start: loaded from disk, all decided", "s", of(loaded, "startWallS"),
               {"SELECT": of(rounds["select"], "wallS")}, at_most=5)
    report.row(case, "start, of the constraints alone", "s CPU",
               [a - b for a, b in zip(of(loaded, "startCpuS"), of(empty, "startCpuS"))],
               {"SELECT": of(rounds["select"], "cpuS")})
    report.row(case, "one change, decided and published", "µs CPU", of(loaded, "changeUs"),
               {f"{middle:,} devices": of(rounds["middle"], "changeUs"),
                f"{small:,} devices": of(rounds["small"], "changeUs")}, at_most=5)
    report.row(case, "one boundary: found, decided, published", "µs CPU", of(loaded, "boundaryUs"),
               note="with one turn of the loop")
    report.row(case, f"{large:,} boundaries at one instant", "ms CPU", of(loaded, "boundaryAllMs"))
    report.row(case, "all decided anew", "ms CPU", of(loaded, "walkMs"),
               {"fold": of(rounds["fold"], "cpuMs")}, at_most=40)
    report.row(case, "all decided anew and published", "ms CPU", of(loaded, "allMs"),
               {"fold": of(rounds["fold"], "cpuMs")})
    report.row(case, "memory of a constraint", "bytes of heap",
               [(a - b) / count for a, b in zip(of(loaded, "heapBytes"), of(empty, "heapBytes"))],
               {"array": [heap] * chosen.rounds}, at_most=128)
    report.row(case, "memory of a constraint", "bytes resident",
               [(a - b) / count * 1024 for a, b in zip(of(loaded, "rssKib"), of(empty, "rssKib"))])
    distinct = deciding("host", stores.of(middle, each, "distinct"))
    shared = rounds["middle"][0]
    report.row(case, "more, where each reason is another text", "bytes of heap",
               (distinct["heapBytes"] - shared["heapBytes"]) / (middle * each),
               note="of some 40 letters; here 5,000 texts are shared")
    report.note("A change, a boundary: found, decided and published to readers, with what history is told. No "
                "device is looked at but its own, so that the work is the same on any number of them; but of many, "
                "nothing is in the processor's caches. Sampled over 800,000 changes at 10,000 devices and at 100, the "
                "former took 4.6 µs more: 1.1 in the sheet of its 250 constraints (8 KB, looked through, copied, "
                "walked), 0.9 in the constraint that is replaced and the texts that it shares with others, 1.0 in what "
                "is measured of the device, 0.7 in what was published before, 0.3 in the new constraint, which the "
                "bench made long before, the rest in many places. Since then a change publishes no measured values "
                "again, and history is not told what it knows. Fetching the device ahead of the change, and pages of "
                "2 MiB, gained nothing worth their lines.")
    report.note("A start reads the file twice, once to see that it is whole (quick_check) and once "
                "for its rows. Of its processor time, sampled at 2,000 devices: 21 % quick_check, 14 % SQLite's "
                "reading of the rows, 33 % packing each row and putting it into its place, 14 % building the devices, 9 % "
                "history's first rows; all on one processor here. Reasons are kept in memory, each text once, since "
                "an answer, an event or the audit log may need one at any moment and the loop never waits for the "
                "store.")
    report.bars(f"One change among {each} constraints of a device, CPU", "µs", [
        (f"{devices:,} devices", bench.statistics.median(of(rounds[name], "changeUs")), "derd")
        for name, devices in (("small", small), ("middle", middle), ("large", large))])
    report.bars(f"All {count:,} constraints anew, CPU", "ms", [
        ("fold over 32-byte records", bench.statistics.median(of(rounds["fold"], "cpuMs")), "floor"),
        ("decided", bench.statistics.median(of(loaded, "walkMs")), "derd"),
        ("decided and published", bench.statistics.median(of(loaded, "allMs")), "derd")])


def main():
    chosen = bench.options(__doc__, rounds=3)
    report = bench.Report("deciding", "Deciding between constraints", chosen)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="derd-deciding-"))
    try:
        measure(chosen, report, Stores(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.write()


if __name__ == "__main__":
    main()
