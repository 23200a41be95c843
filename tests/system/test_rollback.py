"""New generations that are worse than the ones before them, what goes over from one to the next, and
a thousand changes in a row."""

import pathlib
import re
import threading
import time

import pytest

from harness import BUILD, until
from scripts import DRIVERS, hooked, write
from sites import INVERTER, LOAD, device, one, site

PLAIN = (DRIVERS / "plain_load.lua").read_text()


def version_of(host, name, kind="drivers"):
    return host.body(f"/v1/{kind}/{name}")["version"]


def rolled_back(host, name, kind="drivers"):
    """The listing, once it tells of a roll-back."""
    return until(lambda: host.body(f"/v1/{kind}/{name}")["rolledBack"] and
                 host.body(f"/v1/{kind}/{name}"), "rolled back")


def plain(version, old="", new=""):
    assert old in PLAIN
    return PLAIN.replace('version = "1"', f'version = "{version}"').replace(old, new)


def test_a_hook_that_fails_is_rolled_back_and_not_tried_again(start_host, peer):
    host = start_host(one(peer, "plain_load").replace("plain_load", "hooked_load"),
                      drivers={"hooked_load": hooked("return {}", version="1.3.2")})
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")
    write(host, "drivers", "hooked_load", hooked("error('worse')", version="1.4.0"))
    seen = rolled_back(host, "hooked_load")
    assert seen["version"] == "1.3.2" and seen["status"] == "active"
    assert seen["rolledBack"]["version"] == "1.4.0" and "worse" in seen["rolledBack"]["why"]
    assert "driver hooked_load 1.4.0 rolled back to 1.3.2" in host.log_text()
    peer.set_int32(1, 0, 1100)
    until(lambda: dut.flexibility()["activePower"] == 1100, "the old generation works")
    write(host, "drivers", "another", plain("1").replace('"plain_load"', '"another"'))
    until(lambda: host.get("/v1/drivers/another")[0] == 200, "the folder was read again")
    assert version_of(host, "hooked_load") == "1.3.2", "the same text is not tried again"
    write(host, "drivers", "hooked_load", hooked("return {}", version="1.4.1"))
    until(lambda: version_of(host, "hooked_load") == "1.4.1", "a mended file is taken")
    assert host.body("/v1/drivers/hooked_load")["rolledBack"] is None


@pytest.mark.parametrize("old, new, why", [
    ("address = 0,", "address = 500,", "refuses"),
    ('name = "activePower",', 'name = "activePower", scale = 1e12,', "impossible"),
])
def test_a_wrong_register_map_is_rolled_back(start_host, peer, old, new, why):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")
    write(host, "drivers", "plain_load", plain("2", old, new))
    seen = rolled_back(host, "plain_load")
    assert seen["version"] == "1" and why in seen["rolledBack"]["why"]
    peer.set_int32(1, 0, 1100)
    until(lambda: dut.flexibility()["activePower"] == 1100, "the old generation works")


def test_a_device_that_is_away_before_and_after_condemns_nobody(start_host, peer):
    host = start_host(site(device(peer, "dut", "plain_load", 1), device(peer, "gone", "plain_load", 9)))
    peer.unit(1, LOAD)
    host.device("dut").until_online()
    until(lambda: host.device("gone").flexibility()["connection"] == "offline", "it is away")
    write(host, "drivers", "plain_load", plain("2"))
    until(lambda: version_of(host, "plain_load") == "2", "taken")
    reads = len(peer.journal)
    until(lambda: len(peer.journal) > reads + 30, "more polls than a probation has")
    assert version_of(host, "plain_load") == "2"
    assert "rolled back" not in host.log_text()


COUNTER = "dev.state.n = (dev.state.n or 0) + 1 return { activePower = dev.state.n }"


def test_state_goes_over_to_the_next_generation(start_host, peer):
    host = start_host(one(peer, "plain_load").replace("plain_load", "hooked_load"),
                      drivers={"hooked_load": hooked(COUNTER)})
    dut = host.device("dut")
    until(lambda: (dut.flexibility()["activePower"] or 0) >= 5, "it counts")
    stopped = "return { activePower = dev.state.n }"
    write(host, "drivers", "hooked_load", hooked(stopped, version="2"))
    until(lambda: version_of(host, "hooked_load") == "2", "reloaded")
    assert dut.flexibility()["activePower"] >= 5
    kept = dut.flexibility()["activePower"]
    migrate = ("stateVersion = 3, hooks = { values = function(dev) return { activePower = "
               "dev.state.count } end, migrate = function(state, from) return { count = "
               "1000 * state.n + from } end },")
    text = hooked("", version="3")
    text = text[:text.index("  hooks =")] + migrate + "}\n"
    write(host, "drivers", "hooked_load", text)
    until(lambda: dut.flexibility()["activePower"] == 1000 * kept, "migrated from version 0")


def test_a_migration_that_fails_starts_empty_and_says_so(start_host, peer):
    host = start_host(one(peer, "plain_load").replace("plain_load", "hooked_load"),
                      drivers={"hooked_load": hooked(COUNTER)})
    dut = host.device("dut")
    until(lambda: (dut.flexibility()["activePower"] or 0) >= 2, "it counts")
    text = hooked("return { activePower = dev.state.n and 1 or 77 }", version="2",
                  more="stateVersion = 1,").replace(
        "hooks = {", "hooks = { migrate = function() error('cannot') end,")
    write(host, "drivers", "hooked_load", text)
    until(lambda: dut.flexibility()["activePower"] == 77, "its state is empty")
    assert "its state starts empty" in host.log_text() and "cannot" in host.log_text()


def policy(body, version, watts):
    return f"""return {{ api = 1, name = "steady", version = "{version}", every = 1,
      parameters = {{ load = {{ type = "device" }} }},
      run = function(snapshot, params, state)
        {body}
        return {{ k = {{ device = params.load, activePower = {watts}, reason = "test" }} }}
      end }}"""


def test_a_policy_that_fails_on_probation_goes_back_without_a_gap(start_host, peer):
    text = one(peer, "plain_load", "fallback = { activePower = 0 }",
               policies='{ key = "p", policy = "steady", priority = 500, load = "dut" }')
    host = start_host(text, policies={"steady": policy("", "1", 1200)})
    until(lambda: peer.get_int32(1, 11) == 1200, "the proposal")
    peer.forget()
    write(host, "policies", "steady", policy("error('worse')", "2", 1300))
    seen = rolled_back(host, "steady", "policies")
    assert seen["version"] == "1" and "worse" in seen["rolledBack"]["why"]
    reads = len(peer.journal)
    until(lambda: len(peer.journal) > reads + 15, "the old one ticks again")
    assert peer.writes() == [], "its proposal held all the time"


def test_a_driver_and_a_policy_changed_together_are_taken_together(start_host, peer):
    text = one(peer, "plain_load", "fallback = { activePower = 0 }",
               policies='{ key = "p", policy = "steady", priority = 500, load = "dut" }')
    host = start_host(text, policies={"steady": policy("", "1", 1200)})
    until(lambda: peer.get_int32(1, 11) == 1200, "the proposal")
    write(host, "drivers", "plain_load", plain("2"))
    write(host, "policies", "steady", policy("", "2", 1200))
    until(lambda: version_of(host, "steady", "policies") == "2", "the policy is taken")
    assert version_of(host, "plain_load") == "2"
    lines = host.log_text().splitlines()
    taken = [line for line in lines if "generation 2 from" in line]
    assert len(taken) == 2, "both were read in one look at the folders"
    assert taken[0].split(" ", 1)[0][:-4] == taken[1].split(" ", 1)[0][:-4]


class Changer(threading.Thread):
    """Renames a new text over a driver again and again, as fast as the host takes it."""

    def __init__(self, host, count):
        super().__init__(daemon=True)
        self.host, self.count, self.error = host, count, None

    def run(self):
        try:
            for version in range(2, self.count + 2):
                write(self.host, "drivers", "plain_load", plain(str(version)))
                until(lambda: version_of(self.host, "plain_load") == str(version), "reloaded")
        except BaseException as error:  # told by the test
            self.error = error


def resources(host):
    child = pathlib.Path(f"/proc/{host.pid_of_child()}")
    pages = int((child / "statm").read_text().split()[1])
    return pages * 4096, len(list((child / "fd").iterdir()))


def test_many_reloads_leak_nothing_and_cost_the_neighbour_nothing(start_host, peer, full):
    peer.unit(1, LOAD)
    peer.unit(2, INVERTER)
    neighbour = (DRIVERS / "plain_inverter.lua").read_text()
    neighbour = re.sub(r"period = 0\.\d+", "period = 1", neighbour)
    host = start_host(site(device(peer, "dut", "plain_load", 1),
                           device(peer, "other", "plain_inverter", 2)),
                      drivers={"plain_inverter": neighbour})
    dut, other = host.device("dut"), host.device("other")
    dut.until_online()
    other.until_online()
    dut.post(priority=3000, validFor=3600, maxActivePower=5000)
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    warm = Changer(host, 10)
    warm.start()
    warm.join()
    memory, handles = resources(host)
    peer.forget()
    begun = time.monotonic()
    changer = Changer(host, 1000 if full else 50)
    changer.start()
    wish = 0
    while changer.is_alive():
        wish = (wish + 1700) % 9000  # in use: now within the limit, now beyond it
        dut.put("11111111-2222-4333-8444-555555555555", priority=1000, validFor=600,
                activePower=wish, onConflict="clamp")
        changer.join(0.02)
    assert changer.error is None and warm.error is None
    polls = sum(entry[:2] == ("read", 2) for entry in list(peer.journal))
    assert polls >= int(time.monotonic() - begun) - 1, "the neighbour's samples, one each second"
    written = [(values[0] << 16) + values[1] for address, values in peer.writes() if address == 11]
    assert written and max(written) <= 5000, "the limit was never broken"
    until(lambda: peer.get_int32(1, 11) == min(wish, 5000), "no command was lost")
    assert "home/other: offline" not in host.log_text()
    assert host.log_text().count("home/other: online") == 1
    assert "home/other: its measurement is stale" not in host.log_text()
    memory_now, handles_now = resources(host)
    assert handles_now <= handles + 2, "handles are steady"
    if BUILD.name == "build":  # sanitizers keep what is freed, and tell leaks themselves at the end
        assert memory_now < memory * 1.25 + (8 << 20), (memory, memory_now)
