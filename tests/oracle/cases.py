"""Cases for compare.py: the published table, random ones, and all small ones. A case is
(allowed, wishes in order, soc); soc None: unknown."""
import itertools
import random

from decide import APPLIED, CLAMPED, DISCARDED, EXCLUDED, FALLBACK, Wish, in_order

ALL = [(-5000, 5000)]
CAR = [(0, 0), (1380, 3680), (4140, 11040)]


def case(allowed, *wishes, soc=50):
    return allowed, in_order(wishes), soc


def fallback(**fields):
    return Wish(FALLBACK, 0, clamp=True, **fields)


def table():
    """(row, case, set, min, max, more fields of the decision, outcomes in order) of section 10.
    Row 22 is about renewing and has nothing for decide(); 12 and 18 are several decisions."""
    p1 = Wish(9, 1, set=1000)
    p2 = Wish(5, 2, set=500)
    ev = [(0, 11000)]
    over = [Wish(3000, 1, max=2500), Wish(2000, 2, set=3000, min_soc=20)]
    wanted = [Wish(3000, 1, max=4200), Wish(2000, 2, set=5000, clamp=True)]
    return [
        ("1", case(ALL, Wish(0, 1, set=2000), Wish(1, 2, min=-2000, max=0)),
         None, -2000, 0, {}, [APPLIED, DISCARDED]),
        ("2", case(ALL, Wish(3000, 1, set=-1500, min=-2000, max=0),
                   Wish(3001, 2, set=-2000, min=-2000, max=0)),
         -2000, -2000, 0, {}, [APPLIED, DISCARDED]),
        ("3", case(ALL, Wish(10, 1, min=-2000, max=0)), None, -2000, 0, {}, [APPLIED]),
        ("4", case([(-10000, 0)], Wish(10, 1, min=-7000)), None, -7000, 0, {}, [APPLIED]),
        ("5", case(ev, Wish(2000, 1, set=2000)), 2000, 0, 11000, {}, [APPLIED]),
        ("6", case(ev, Wish(3000, 1, max=4200), Wish(2000, 2, set=11000)),
         None, 0, 4200, {}, [APPLIED, DISCARDED]),
        ("7", case(ev, Wish(3000, 1, max=4200), Wish(2000, 2, set=11000, clamp=True)),
         4200, 0, 4200, {"limited": False}, [APPLIED, CLAMPED]),
        ("8", case(ev, Wish(3000, 1, max=4200), Wish(2000, 2, set=3000)),
         3000, 0, 4200, {}, [APPLIED, APPLIED]),
        ("9", case([(0, 3700)], Wish(5, 1, set=11000)), 3700, 0, 3700, {"limited": True}, [APPLIED]),
        ("10", case(ev, Wish(7, 1, set=0)), 0, 0, 11000, {}, [APPLIED]),
        ("11", case(ALL, Wish(5, 1, set=1000), Wish(5, 2, set=2000)),
         2000, -5000, 5000, {}, [APPLIED, DISCARDED]),
        ("12, 9 h", case(ALL, p2), 500, -5000, 5000, {}, [APPLIED]),
        ("12, 10 h", case(ALL, p2, p1), 1000, -5000, 5000, {}, [APPLIED, DISCARDED]),
        ("12, 11 h", case(ALL, p2), 500, -5000, 5000, {}, [APPLIED]),
        ("13", case(ALL, Wish(5, 1, min_soc=10, set=-1000), soc=10), 0, 0, 5000, {}, [APPLIED]),
        ("14", case([(0, 0), (1380, 11000)], Wish(3000, 1, max=0)),
         None, 0, 0, {"unmet": False}, [APPLIED]),
        ("15", case([(0, 0), (4140, 11040)], Wish(3000, 1, max=4000),
                    Wish(500, 2, set=6000, clamp=True)),
         0, 0, 0, {"limited": True}, [APPLIED, CLAMPED]),
        ("16", case(CAR, Wish(5, 1, set=4000)), 3680, 0, 11040, {"limited": True}, [APPLIED]),
        ("17", case(ev, Wish(3000, 1, max=4200), fallback(set=0)),
         0, 0, 4200, {}, [APPLIED, APPLIED]),
        ("18, 4300", case([(-5000, 4300)], *wanted), 4200, -5000, 4200, {}, [APPLIED, CLAMPED]),
        ("18, 4100", case([(-5000, 4100)], *wanted), 4100, -5000, 4100, {}, [APPLIED, CLAMPED]),
        ("19", case(ALL, *over, soc=15), None, 0, 2500, {}, [APPLIED, DISCARDED]),
        ("20", case(ev, Wish(5000, 1, max=11000, exclusive=True), Wish(500, 2, set=1400)),
         None, 0, 11000, {}, [APPLIED, EXCLUDED]),
        ("21", case([(500, 3000)], Wish(3000, 1, max=0)), 500, 500, 500, {"unmet": True},
         [APPLIED]),
    ]


def random_allowed(source, reach):
    """One to four ranges with gaps of at least one value."""
    count = source.choice((1, 1, 1, 2, 3, 4))
    edges = sorted(source.sample(range(-3 * reach - 1, 3 * reach + 2), 2 * count))
    ranges = []
    for lo, hi in zip(edges[::2], edges[1::2]):
        if source.random() < 0.3:
            hi = lo
        if ranges and lo - ranges[-1][1] < 2:
            continue
        ranges.append((lo, hi))
    if source.random() < 0.6 and not any(lo <= 0 <= hi for lo, hi in ranges):
        ranges = [r for r in ranges if r[1] < -1 or r[0] > 1] + [(0, 0)]
    return sorted(ranges)


def random_fields(source, reach):
    low, high = sorted((source.randint(-reach, reach), source.randint(-reach, reach)))
    low = low if source.random() < 0.55 else None
    high = high if source.random() < 0.55 else None
    s = None
    if source.random() < 0.55:
        s = source.randint(-reach if low is None else low, reach if high is None else high)
    return {"set": s, "min": low, "max": high}


def random_case(source):
    reach = source.choice((1, 2, 3, 3, 5, 20))
    # Half values too: between a bound and its opening, one percentage point away.
    soc = source.choice((None,) + tuple(x / 2 for x in range(16, 27)) * 2)
    with_gates = source.random() < 0.5
    ranks = list(range(1, 9))
    source.shuffle(ranks)
    wishes = []
    for _ in range(source.randint(0, 8)):
        min_soc = source.randint(9, 12) if with_gates and source.random() < 0.35 else None
        max_soc = source.randint(9, 12) if with_gates and source.random() < 0.35 else None
        wishes.append(Wish(source.choice((0, 5, 5, 7, 2000, 3000, 2**31 - 1)), ranks.pop(),
                           min_soc=min_soc, max_soc=max_soc, clamp=source.random() < 0.5,
                           exclusive=source.random() < 0.12,
                           min_closed=min_soc is not None and source.random() < 0.5,
                           max_closed=max_soc is not None and source.random() < 0.5,
                           **random_fields(source, reach)))
    if source.random() < 0.5:
        wishes.append(fallback(**random_fields(source, reach)))
    return random_allowed(source, reach), in_order(wishes), soc


def random_cases(seed, count):
    source = random.Random(seed)
    for _ in range(count):
        yield random_case(source)


SMALL_ALLOWED = ([(-2, 2)], [(-1, 0)], [(0, 1)], [(0, 0), (2, 3)], [(-3, -2), (0, 1)], [(1, 2)],
                 [(-2, -2), (2, 2)], [(-1, -1), (1, 1)])


def small_fields(values):
    """All (set, min, max) over `values` and missing that a constraint may have."""
    for low, high in itertools.product((None, *values), repeat=2):
        if low is not None and high is not None and low > high:
            continue
        for s in (None, *values):
            if s is None or ((low is None or low <= s) and (high is None or s <= high)):
                yield s, low, high


def small_pairs(values, allowed_sets, fallbacks, extras):
    """Every two wishes over `values`, both ways to conflict; `extras`: (soc, fields of the first,
    fields of the second)."""
    fields = list(small_fields(values))
    for first, second in itertools.product(fields, repeat=2):
        for clamp, (soc, more_first, more_second) in itertools.product((False, True), extras):
            wishes = [Wish(9, 1, *first, **more_first), Wish(5, 2, *second, clamp=clamp,
                                                             **more_second)]
            for allowed, last in itertools.product(allowed_sets, fallbacks):
                yield allowed, wishes + last, soc


PLAIN = [(50, {}, {})]
GATES = [(soc, first, second) for soc in (10, None) for first, second in (
    ({"min_soc": 10}, {}), ({}, {"min_soc": 10}), ({"max_soc": 10}, {}), ({}, {"max_soc": 10}),
    ({"min_soc": 10, "clamp": True}, {"max_soc": 10}), ({}, {"min_soc": 10, "max_soc": 10}))]
EXCLUSIVE = [(50, {"exclusive": True}, {}), (10, {"exclusive": True}, {"min_soc": 10})]


def small_cases(full):
    none, off, on = [], [fallback(set=0)], [fallback(set=1, max=1)]
    yield from small_pairs((-1, 0, 1), SMALL_ALLOWED, [none, off], PLAIN)
    if full:
        yield from small_pairs((-2, -1, 0, 1, 2), SMALL_ALLOWED, [none, off, on], PLAIN)
        yield from small_pairs((-1, 0, 1), SMALL_ALLOWED, [none, off, on], GATES + EXCLUSIVE)
    else:
        yield from small_pairs((-1, 1), SMALL_ALLOWED[:4], [none, off], GATES + EXCLUSIVE)
