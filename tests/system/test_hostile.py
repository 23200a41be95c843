"""Hostile scripts inside a running host: it lives on, names the offender, and polls the others."""

import pathlib
import re

from harness import until
from modbus_peer import Peer
from sites import LOAD, device, site

CLASSES = pathlib.Path(__file__).resolve().parents[1] / "hostile" / "classes.txt"
PLAIN = (pathlib.Path(__file__).parent / "drivers" / "plain_load.lua").read_text()
HOOKS = ("while_true", "loop_inside_pcall", "recursion_without_end", "pattern_bomb", "call_chain",
         "move_through_c_functions", "error_with_a_table", "table_that_grows", "returns_a_trap",
         "error_of_many_lines")
POLICIES = ("goto_loop", "pcall_of_itself", "text_that_doubles", "gsub_through_c_functions",
            "sort_of_mixed_values", "close_loop", "returns_a_cycle")


def pieces():
    parts = re.split(r"^--- (\w+): [a-z ]+\n", CLASSES.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def driver(name, piece):
    return (PLAIN.replace('"plain_load"', f'"{name}"').replace("period = 0.2", "period = 4")
            .rstrip().rstrip("}") + "  hooks = { values = function(dev, values)\n" + piece + "end } }\n")


def policy(name, piece):
    return (f'return {{ api = 1, name = "{name}", every = 2, '
            'parameters = { load = { type = "device" } },\n'
            "run = function(snapshot, params, state)\n" + piece + "end }\n")


def test_hostile_hooks_and_policies_harm_nobody_else(start_host, peer):
    piece = pieces()
    offenders = Peer()
    peer.unit(1, LOAD)
    devices = [device(peer, "good", "plain_load", 1)]
    for unit, name in enumerate(HOOKS, 1):
        offenders.unit(unit, LOAD)
        devices.append(device(offenders, name, name, unit))
    policies = "".join(f'{{ key = "{name}", policy = "{name}", priority = 500, load = "good" }},\n'
                       for name in POLICIES)
    host = start_host(site(*devices, policies=policies),
                      drivers={name: driver(name, piece[name]) for name in HOOKS},
                      policies={name: policy(name, piece[name]) for name in POLICIES})
    good = host.device("good")
    good.until_online()
    pid = host.pid_of_child()

    def named(name):
        return any(f"home/{name}" in line and f"{name}.lua" in line
                   for line in host.log_text().splitlines())

    for name in HOOKS + POLICIES:
        if not name.startswith("returns_"):
            until(lambda: named(name), f"{name} is named with its file")

    # While every offender is polled twice more, the good device is read again and again.
    for _ in range(2):
        for one in (peer, offenders):
            one.forget()
        until(lambda: {entry[1] for entry in list(offenders.journal)} >=
              set(range(1, len(HOOKS) + 1)), "every offender is still polled")
        assert sum(entry[0] == "read" for entry in list(peer.journal)) >= 3
    assert good.flexibility()["connection"] == "online"
    peer.set_int32(1, 0, 4321)
    until(lambda: good.flexibility()["activePower"] == 4321, "a new value arrives")
    assert good.post(priority=3000, validFor=60, maxActivePower=1000)[0] == 201
    assert host.pid_of_child() == pid, "the host was never started again"
    assert not any("home/good" in line and "offline" in line
                   for line in host.log_text().splitlines())
    offenders.close()
