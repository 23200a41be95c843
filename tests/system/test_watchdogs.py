"""A host that is gone, killed or told to stop, and a link that is dead: devices go to what their own
watchdogs were armed with. The simulated charging station counts its time-out itself."""

import pytest

import homes
from harness import until

TIMEOUT_S = 10  # the least that the charging station takes
PARAMETERS = f"parameters = {{ _timeout = {TIMEOUT_S}, _fallbackCurrent = 8 }}"


@pytest.fixture
def charging(start_simulator, start_host):
    """A home whose car charges with all that it takes, by a constraint."""
    def start(wallbox=PARAMETERS):
        simulator = start_simulator(homes.home())
        host = start_host(homes.site(simulator.ports, wallbox=wallbox))
        box = host.device("wallbox")
        box.until_online()
        assert box.post(priority=2000, activePower=11000, validFor=600)[0] == 201
        until(lambda: power(simulator) > 10000, "the car charges")
        until(lambda: box.flexibility()["watchdog"] == "armed", "its watchdog is armed")
        return simulator, host, box
    return start


def power(simulator):
    return simulator.state()["devices"]["wallbox"]["charging"]


def falls_back_to(simulator, least, most):
    until(lambda: least <= power(simulator) <= most, f"{least} to {most} W by its own watchdog",
          patience_s=4 * TIMEOUT_S)


def test_a_killed_host_leaves_the_station_to_its_watchdog(charging):
    simulator, host, _ = charging()
    host.kill()
    falls_back_to(simulator, 5300, 5600)  # 8 A on three phases
    host.start()
    until(lambda: power(simulator) > 10000, "what was in force is told again")


def test_a_stopped_host_leaves_the_station_to_its_watchdog(charging):
    simulator, host, _ = charging()
    before = len(simulator.writes("wallbox"))
    host.stop()
    assert len(simulator.writes("wallbox")) == before  # it says no good-bye
    falls_back_to(simulator, 5300, 5600)


def test_a_dead_link_leaves_the_station_to_its_watchdog_and_a_new_one_brings_the_limit(charging):
    simulator, _, box = charging()
    assert box.post(priority=3000, maxActivePower=9000, validFor=600)[0] == 201
    until(lambda: power(simulator) < 9100, "it keeps to the limit")
    simulator.ask("silence wallbox on")
    falls_back_to(simulator, 5300, 5600)
    simulator.ask("silence wallbox off")
    until(lambda: 8000 < power(simulator) < 9100, "the limit again, and no more")


def test_a_watchdog_is_armed_within_the_permanent_limits(charging, full):
    if not full:
        pytest.skip("waits for a time-out; test_told has it on a clock of its own")
    simulator, host, box = charging(PARAMETERS + ", limits = { maxActivePower = 11000 }")
    site = homes.site(simulator.ports, wallbox=PARAMETERS + ", limits = { maxActivePower = 4000 }")
    host.write_site(site)  # 4000 W are less than 6 A on three phases
    until(lambda: power(simulator) < 100, "nothing within the new limit can be charged with")
    until(lambda: box.flexibility()["watchdog"] == "armed", "its watchdog is armed anew")
    host.kill()
    until(lambda: simulator.read("wallbox", 16420)[0] == 0, "its fallback is none")
    end = simulator.state()["steps"] + (TIMEOUT_S + 2) * 10
    until(lambda: simulator.state()["steps"] >= end or power(simulator) > 100,
          "its time-out is over", patience_s=4 * TIMEOUT_S)
    assert power(simulator) < 100
    host.start()


def test_who_has_no_watchdog_is_listed_and_an_alarm_when_out_of_reach(start_simulator, start_host):
    simulator = start_simulator(homes.home())
    host = start_host(homes.site(simulator.ports))
    battery, roof = host.device("battery"), host.device("roof")
    battery.until_online()
    roof.until_online()
    assert battery.flexibility()["watchdog"] == "none"
    assert host.device("grid").flexibility()["watchdog"] is None
    assert roof.flexibility()["watchdog"] == "unarmed"
    item = {"cluster": "home", "device": "battery", "alarm": False}
    assert host.body("/ready")["withoutWatchdog"] == [item]
    assert battery.post(priority=3000, maxActivePower=500, validFor=600)[0] == 201
    until(lambda: battery.flexibility()["command"]["state"] == "confirmed", "it has the limit")
    simulator.ask("silence battery on")
    until(lambda: host.body("/ready")["withoutWatchdog"] == [item | {"alarm": True}], "an alarm")
    assert host.log_text().count("has no watchdog of its own") == 1
    simulator.ask("silence battery off")
    until(lambda: host.body("/ready")["withoutWatchdog"] == [item], "the alarm is over")
