"""Instructions in user space, counted by valgrind's callgrind: the same on every machine and at every load.

A program runs under it from a wrapper (see `wrapper`), counts nothing until `counting` says so, and
leaves one profile for each of its threads."""

import contextlib
import os
import pathlib
import re
import subprocess


def wrapper(path, program, out):
    """A program at `path` that is `program`, whose `serve` runs under callgrind and leaves its profiles at
    OUT.PID.PART-THREAD."""
    path.write_text(f"""#!/bin/sh
if [ "$1" != serve ]; then exec {program} "$@"; fi
exec valgrind --quiet --tool=callgrind --trace-children=yes --instr-atstart=no --separate-threads=yes \\
    --callgrind-out-file={out}.%p {program} "$@"
""")
    path.chmod(0o755)
    return path


class Thread:
    """What one thread did: instructions by object file, and of a function with all that it called."""

    name = re.compile(r"\((\d+)\)(?: (.*))?")

    def __init__(self, path):
        self.objects, self.own, self.called, self.calls = {}, {}, {}, {}
        known = {}

        def name_of(kind, text):
            number, name = self.name.fullmatch(text).groups()
            if name:
                known[kind, number] = name
            return known[kind, number]

        thing = function = target = None
        count = inclusive = 0
        for line in path.read_text(errors="replace").splitlines():
            key, _, text = line.partition("=")
            if key == "ob":
                thing = os.path.basename(name_of("ob", text))
            elif key == "fn":
                function = name_of("fn", text).split("'")[0]
            elif key == "cfn":
                target = name_of("fn", text).split("'")[0]
            elif key == "cob":
                name_of("ob", text)
            elif key == "calls":
                count, inclusive = int(text.split()[0]), 1
            elif line and line[0] in "0123456789+-*" and function:
                instructions = int(line.split()[1])
                if inclusive:
                    inclusive = 0
                    self.calls[target] = self.calls.get(target, 0) + count
                    if target != function:
                        self.called[target] = self.called.get(target, 0) + instructions
                else:
                    self.objects[thing] = self.objects.get(thing, 0) + instructions
        self.total = sum(self.objects.values())

    def within(self, *functions):
        """Instructions of these functions with all that they called from elsewhere; none may call another of them."""
        return sum(self.called.get(function, 0) for function in functions)


@contextlib.contextmanager
def counting(pid, out):
    """Counts what the process does inside; the list that it gives holds each of its threads afterwards."""
    threads = []

    def control(*words):
        subprocess.run(["callgrind_control", *words, str(pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for old in pathlib.Path(out).parent.glob(f"{pathlib.Path(out).name}.{pid}.*"):
        old.unlink()
    control("-i", "on")
    yield threads
    control("-i", "off")
    control("-d")
    for path in sorted(pathlib.Path(out).parent.glob(f"{pathlib.Path(out).name}.{pid}.*-*")):
        threads.append(Thread(path))


def one_that(threads, function):
    """The thread that calls the function most, or None."""
    found = max(threads, key=lambda thread: thread.calls.get(function, 0), default=None)
    return found if found and found.calls.get(function) else None
