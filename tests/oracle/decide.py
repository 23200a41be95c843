"""A second decide(), written from the published rules alone.

The host's own decide() (host/arbiter.h) and this one were written by different hands from the same
text, "How constraints are decided" (sections 2 to 6). compare.py holds them against each other. It
is slow and plain on purpose: whoever doubts a decision can follow it here line by line.

Where the text leaves a choice, this is how it is read:

 1. "Below" an exclusive constraint is everything behind it in the order, also what has the same
    priority. One that was itself discarded excludes nobody. The fallback is never excluded: it
    stands last in every walk.
 2. Gates of excluded constraints are not considered: not walked, and their state stays as it was.
 3. A gate is walked directly before the constraint that carries it, first the one of
    minStateOfCharge, then that of maxStateOfCharge; its bound belongs to the carrier. It is walked
    also when the carrier is then discarded.
 4. The min gate closes at soc <= min and opens at soc >= min + 1; the max gate closes at soc >= max
    and opens at soc <= max - 1; between the two it stays as it was. Unknown soc: closed.
 5. With a closed gate the carrier's own set point beyond 0 is 0 from the start: it conflicts, or
    not, as 0.
 6. The same value as the one already taken is no conflict, and the owner stays the first.
 7. A clamped range is a' = min(max(a, lo), hi), b' = max(min(b, hi), lo); with a set point t taken,
    a' = min(a', t) and b' = max(b', t). It narrows also when the set point is overridden.
    Overridden wins over clamped as the outcome.
 8. Who is conflicted with (the text names no order; this one is that of host/arbiter.h): the
    owner of the taken set point when the set point or the range conflicts with it; else the owner
    of the bound that the range misses, or beyond which the set point lies. A bound belongs to the
    first who set it to its value. This may be the constraint itself, when its own gate is in its
    way.
 9. No constraint moves the set point of another: a taken one always lies inside [lo, hi].
10. The minimum and maximum decided are the hull of what is allowed inside [lo, hi].
11. Unmet: the allowed value of least magnitude (of two, the positive one) is set point, minimum
    and maximum; it is not also called limited.
12. A set point settles on the value of the same sign with the greatest magnitude not above its
    own; else 0 where it is allowed inside [lo, hi]; else the nearest, of two equally near the one
    of less magnitude, of those the positive one.
"""

UNBOUNDED = 2**31 - 1  # POWER_UNBOUNDED of host/ranges.h
NOBODY, DEVICE = -1, -2
APPLIED, DISCARDED, CLAMPED, OVERRIDDEN, EXCLUDED = range(5)
OUTCOMES = ("applied", "discarded", "clamped", "overridden", "excluded")
FALLBACK = -1  # priority of the device's fallback


class Wish:
    """What one constraint asks; None: no opinion."""

    __slots__ = ("priority", "rank", "set", "min", "max", "min_soc", "max_soc", "clamp",
                 "exclusive", "min_closed", "max_closed")

    def __init__(self, priority, rank, set=None, min=None, max=None, min_soc=None, max_soc=None,
                 clamp=False, exclusive=False, min_closed=False, max_closed=False):
        self.priority, self.rank = priority, rank
        self.set, self.min, self.max = set, min, max
        self.min_soc, self.max_soc = min_soc, max_soc
        self.clamp, self.exclusive = clamp, exclusive
        self.min_closed, self.max_closed = min_closed, max_closed


class Verdict:
    __slots__ = ("outcome", "against", "gate_min", "gate_max", "min_closed", "max_closed")

    def __init__(self, wish):
        self.outcome, self.against = APPLIED, NOBODY
        self.gate_min = self.gate_max = False
        self.min_closed, self.max_closed = wish.min_closed, wish.max_closed


class Walk:
    """What is left to those who come later."""

    __slots__ = ("lo", "hi", "set", "lo_by", "hi_by", "set_by")

    def __init__(self):
        self.lo, self.hi, self.set = -UNBOUNDED, UNBOUNDED, None
        self.lo_by = self.hi_by = self.set_by = NOBODY

    def narrow(self, a, b, by):
        if a > self.lo:
            self.lo, self.lo_by = a, by
        if b < self.hi:
            self.hi, self.hi_by = b, by

    def moved(self, a, b):
        """[a, b] at the nearest edge of [lo, hi], and never beside the set point taken."""
        a, b = min(max(a, self.lo), self.hi), max(min(b, self.hi), self.lo)
        if self.set is not None:
            a, b = min(a, self.set), max(b, self.set)
        return a, b

    def conflict(self, a, b, s):
        """The index of whom [a, b] and s conflict with, or None."""
        taken = self.set
        if taken is not None and (not a <= taken <= b or (s is not None and s != taken)):
            return self.set_by
        if a > self.hi:
            return self.hi_by
        if b < self.lo:
            return self.lo_by
        if s is not None and s < max(self.lo, a):
            return self.lo_by
        if s is not None and s > min(self.hi, b):
            return self.hi_by
        return None


def gate_closed(soc, low_side, bound, was_closed):
    if soc is None:
        return True
    if low_side:
        return soc <= bound or (was_closed and soc < bound + 1)
    return soc >= bound or (was_closed and soc > bound - 1)


def walk_gates(walk, index, wish, verdict, soc):
    """Walks the gates that are closed; the carrier's set point as it is behind them."""
    s = wish.set
    if wish.min_soc is not None:
        verdict.min_closed = gate_closed(soc, True, wish.min_soc, wish.min_closed)
        if verdict.min_closed:
            verdict.gate_min = True
            walk.narrow(*walk.moved(0, UNBOUNDED), index)
            s = None if s is None else max(s, 0)
    if wish.max_soc is not None:
        verdict.max_closed = gate_closed(soc, False, wish.max_soc, wish.max_closed)
        if verdict.max_closed:
            verdict.gate_max = True
            walk.narrow(*walk.moved(-UNBOUNDED, 0), index)
            s = None if s is None else min(s, 0)
    return s


def walk_wish(walk, index, wish, verdict, s):
    a = -UNBOUNDED if wish.min is None else wish.min
    b = UNBOUNDED if wish.max is None else wish.max
    against = walk.conflict(a, b, s)
    if against is None:
        walk.narrow(a, b, index)
    elif not wish.clamp:
        verdict.outcome, verdict.against = DISCARDED, against
        return
    else:
        gives_way = s is not None and walk.set is not None and s != walk.set
        verdict.outcome = OVERRIDDEN if gives_way else CLAMPED
        verdict.against = against
        walk.narrow(*walk.moved(a, b), index)
    if s is not None and walk.set is None:
        walk.set, walk.set_by = min(max(s, walk.lo), walk.hi), index


def least(ranges):
    values = []
    for lo, hi in ranges:
        values += [0] if lo <= 0 <= hi else [lo, hi]
    return min(values, key=lambda value: (abs(value), -value))


def settle(ranges, s):
    """The value of `ranges` that a set point s becomes."""
    if s > 0:
        same_sign = [min(hi, s) for lo, hi in ranges if lo <= s and min(hi, s) > 0]
        if same_sign:
            return max(same_sign)
    if s < 0:
        same_sign = [max(lo, s) for lo, hi in ranges if hi >= s and max(lo, s) < 0]
        if same_sign:
            return min(same_sign)
    if any(lo <= 0 <= hi for lo, hi in ranges):
        return 0
    edges = [value for lo, hi in ranges for value in (lo, hi)]
    return min(edges, key=lambda value: (abs(value - s), abs(value), -value))


class Decision:
    __slots__ = ("set", "min", "max", "unmet", "limited", "walked_min", "walked_max", "set_by",
                 "min_by", "max_by", "within")


def conclude(walk, allowed):
    decision = Decision()
    decision.walked_min, decision.walked_max = walk.lo, walk.hi
    inside = [(max(lo, walk.lo), min(hi, walk.hi)) for lo, hi in allowed
              if max(lo, walk.lo) <= min(hi, walk.hi)]
    decision.unmet = not inside
    decision.limited = False
    if decision.unmet:
        decision.set = decision.min = decision.max = least(allowed)
        decision.within = [(decision.set, decision.set)]
    else:
        decision.set = None if walk.set is None else settle(inside, walk.set)
        decision.limited = decision.set != walk.set
        decision.min, decision.max = inside[0][0], inside[-1][1]
        decision.within = inside
    decision.set_by, decision.min_by, decision.max_by = walk.set_by, walk.lo_by, walk.hi_by
    return decision


def in_order(wishes):
    return sorted(wishes, key=lambda wish: (-wish.priority, -wish.rank))


def decide(allowed, wishes, soc):
    """`allowed`: ordered, separate [(lo, hi)], not empty. `wishes` in order. `soc`: None: unknown.
    The decision, and a verdict per wish."""
    walk = Walk()
    verdicts = []
    excluded_by = None
    for index, wish in enumerate(wishes):
        verdict = Verdict(wish)
        verdicts.append(verdict)
        if excluded_by is not None and wish.priority != FALLBACK:
            verdict.outcome, verdict.against = EXCLUDED, excluded_by
            continue
        s = walk_gates(walk, index, wish, verdict, soc)
        walk_wish(walk, index, wish, verdict, s)
        if wish.exclusive and verdict.outcome != DISCARDED and excluded_by is None:
            excluded_by = index
    return conclude(walk, allowed), verdicts
