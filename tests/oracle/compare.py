"""Holds the host's decide() against the independent one of decide.py.

    python3 tests/oracle/compare.py --peer build/arbiter_peer [--random N] [--seed S] [--full]

Runs the published table, N random cases and all small ones; prints the first case that differs in
full, and last a line "N passed, N failed". Exit status 1 on any difference."""
import argparse
import itertools
import os
import subprocess
import sys

import cases
from decide import DEVICE, FALLBACK, NOBODY, OUTCOMES, UNBOUNDED, decide

CHUNK = 20000  # cases that one run of the peer gets
FIELDS = ("has set", "set", "min", "max", "unmet", "limited", "walked min", "walked max")
WISH_FIELDS = ("rank", "outcome", "against", "gate min", "gate max", "min gate closed",
               "max gate closed")


def wish_text(wish):
    flags = "".join(letter for letter, given in (
        ("s", wish.set is not None), ("l", wish.min is not None), ("h", wish.max is not None),
        ("g", wish.min_soc is not None), ("G", wish.max_soc is not None), ("c", wish.clamp),
        ("x", wish.exclusive), ("m", wish.min_closed), ("M", wish.max_closed)) if given)
    return (f"{wish.priority} {wish.rank} {flags or '-'} {wish.set or 0} {wish.min or 0} "
            f"{wish.max or 0} {wish.min_soc or 0} {wish.max_soc or 0}")


def case_text(case):
    """A line for the peer. The wishes go in reverse: putting them in order is the host's part."""
    allowed, wishes, soc = case
    parts = ["nan" if soc is None else str(soc), str(len(allowed))]
    parts += [f"{lo} {hi}" for lo, hi in allowed]
    parts.append(str(len(wishes)))
    parts += [wish_text(wish) for wish in reversed(wishes)]
    return " ".join(parts)


def expected_by(owner, bound, unbounded, neighbour, allowed):
    """Whose a bound is, where the text leaves no doubt; else None."""
    if bound == unbounded:
        return DEVICE
    if any(lo <= bound <= hi and lo <= neighbour <= hi for lo, hi in allowed):
        return owner
    return None


def expected(case):
    """What the peer should answer, as a list; None where any answer will do."""
    allowed, wishes, soc = case
    decision, verdicts = decide(allowed, wishes, soc)
    set_by = min_by = max_by = None
    if not decision.unmet:
        if decision.set is None:
            set_by = NOBODY
        elif not decision.limited:
            set_by = decision.set_by
        lo, hi = decision.walked_min, decision.walked_max
        min_by = expected_by(decision.min_by, lo, -UNBOUNDED, lo - 1, allowed)
        max_by = expected_by(decision.max_by, hi, UNBOUNDED, hi + 1, allowed)
    answer = [int(decision.set is not None), decision.set or 0, decision.min, decision.max,
              int(decision.unmet), int(decision.limited), decision.walked_min, decision.walked_max,
              set_by, min_by, max_by, len(decision.within)]
    for bounds in decision.within:
        answer += bounds
    for wish, verdict in zip(wishes, verdicts):
        answer += [wish.rank, verdict.outcome, verdict.against, int(verdict.gate_min),
                   int(verdict.gate_max), int(verdict.min_closed), int(verdict.max_closed)]
    return answer


def agree(wanted, got):
    return len(wanted) == len(got) and all(w is None or w == g for w, g in zip(wanted, got))


def answer_text(answer, count):
    head = ", ".join(f"{name} {value}" for name, value in zip(FIELDS, answer))
    set_by, min_by, max_by = ("any" if by is None else by for by in answer[8:11])
    end = 12 + 2 * answer[11]
    lines = [f"    {head}",
             f"    set by {set_by}, min by {min_by}, max by {max_by}, within {answer[12:end]}"]
    for index in range(count):
        values = answer[end + 7 * index:end + 7 * index + 7]
        if len(values) == 7:
            values[1] = OUTCOMES[values[1]] if 0 <= values[1] < len(OUTCOMES) else values[1]
        lines.append(f"    wish {index}: " + ", ".join(
            f"{name} {value}" for name, value in zip(WISH_FIELDS, values)))
    return "\n".join(lines)


def describe(case, wanted, got):
    allowed, wishes, soc = case
    lines = [f"  allowed {allowed}, state of charge {'unknown' if soc is None else soc}"]
    for index, wish in enumerate(wishes):
        name = "fallback" if wish.priority == FALLBACK else f"priority {wish.priority}"
        given = [f"{field} {getattr(wish, field)}" for field in
                 ("set", "min", "max", "min_soc", "max_soc") if getattr(wish, field) is not None]
        given += [field for field in ("clamp", "exclusive", "min_closed", "max_closed")
                  if getattr(wish, field)]
        lines.append(f"  wish {index}: {name}, rank {wish.rank}: {', '.join(given) or 'nothing'}")
    lines += ["  for the peer: " + case_text(case), "  decide.py:",
              answer_text(wanted, len(wishes)), "  the host:", answer_text(got, len(wishes))]
    return "\n".join(lines)


class Comparison:
    def __init__(self, peer):
        self.peer = peer
        self.passed = self.failed = 0

    def note(self, good, explain):
        if good:
            self.passed += 1
            return
        self.failed += 1
        if self.failed == 1:
            print("first difference:\n" + explain(), flush=True)

    def ask(self, chunk):
        text = "\n".join(case_text(case) for case in chunk) + "\n"
        done = subprocess.run([self.peer], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{self.peer} ended with status {done.returncode}: {done.stderr[-2000:]}")
        return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]

    def compare(self, name, source):
        before = self.passed + self.failed
        source = iter(source)
        while chunk := list(itertools.islice(source, CHUNK)):
            answers = self.ask(chunk)
            # What the peer did not answer is a failure of each of these cases.
            answers += [[0] * 12] * (len(chunk) - len(answers))
            for case, got in zip(chunk, answers):
                wanted = expected(case)
                self.note(agree(wanted, got), lambda c=case, w=wanted, g=got: describe(c, w, g))
        print(f"{name}: {self.passed + self.failed - before} cases", flush=True)

    def table(self):
        """The published rows, each against both."""
        rows = cases.table()
        answers = self.ask([row[1] for row in rows])
        answers += [[0] * 12] * (len(rows) - len(answers))
        for (row, case, wanted_set, low, high, more, outcomes), got in zip(rows, answers):
            wanted = expected(case)
            self.note(agree(wanted, got), lambda c=case, w=wanted, g=got: describe(c, w, g))
            published = [int(wanted_set is not None), wanted_set or 0, low, high]
            for who, answer in (("decide.py", wanted), ("the host", got)):
                verdicts = answer[12 + 2 * answer[11]:]
                good = (answer[:4] == published and verdicts[1::7] == outcomes
                        and more.get("unmet", False) == answer[4]
                        and ("limited" not in more or more["limited"] == answer[5]))
                self.note(good, lambda r=row, n=who, c=case, w=wanted, g=got:
                          f"  row {r} of the table, as decided by {n}\n" + describe(c, w, g))
        print(f"table: {len(rows)} rows, each in both", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True, help="the program arbiter_peer")
    parser.add_argument("--random", type=int, metavar="N", help="random cases")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--full", action="store_true", help="the long counts")
    options = parser.parse_args()
    count = options.random
    if count is None:
        count = 2000000 if options.full else 20000
    comparison = Comparison(options.peer)
    comparison.table()
    comparison.compare(f"random, --seed {options.seed}", cases.random_cases(options.seed, count))
    comparison.compare("all small ones", cases.small_cases(options.full))
    print(f"{comparison.passed} passed, {comparison.failed} failed")
    return 1 if comparison.failed else 0


if __name__ == "__main__":
    sys.exit(main())
