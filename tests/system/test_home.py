"""The whole of it on the simulated home: the shipped drivers and the shipped policy over real Modbus
against libmodbus. What the simulator says is the truth that everything is held against."""

import datetime
import os
import statistics
import subprocess
import sys

import pytest

import homes
from harness import PATIENCE_S, ROOT, Host, Simulator, free_port, until

EXAMPLES = ROOT / "scripts" / "examples"
FALLBACK = "fallback = { activePower = 0 }, limits = { maxCurrent = 16 }"
# Registers as the makers' documents have them, addresses as on the wire.
TERRA_LIMIT = 16640
SUNGROW_MODE, SUNGROW_MAX_CHARGE = 13049, 33046
SUNGROW_AC_POWER = 13033
CHARGE, DISCHARGE, STOP = 0xAA, 0xBB, 0xCC
SUNSPEC_LIMIT, SUNSPEC_LIMIT_ENABLED = 40155, 40159  # models 1, 103, 120 and 123 from 40000 on
SUNSPEC_STORAGE_MODE = 40181  # model 124


class Home:
    """A simulator, a host on it, and the devices by their keys."""

    def __init__(self, simulator, host):
        self.simulator, self.host = simulator, host
        self.devices = {item["key"]: host.device(item["key"])
                        for item in host.body("/v1/clusters/home/devices")["items"]}

    def __getattr__(self, key):
        return self.devices[key]

    def until_online(self):
        for device in self.devices.values():
            device.until_online()
        return self

    def truth(self, name):
        return self.simulator.state()["devices"][name]

    def sun(self, watts):
        self.simulator.ask(f"sun {watts}")

    def steps(self, count):
        """Lets the simulator do this many of its steps (0.1 s each)."""
        end = self.simulator.state()["steps"] + count
        until(lambda: self.simulator.state()["steps"] >= end, f"{count} steps of the simulator")


@pytest.fixture
def start_home(start_simulator, start_host):
    def start(home=None, site=None, **more):
        simulator = start_simulator(homes.home(**(home or {})))
        host = start_host(homes.site(simulator.ports, **(site or {})), **more)
        return Home(simulator, host).until_online()
    return start


def quick_policy():
    """The shipped policy, asked every second: for tests that are not about how well it follows."""
    text = (ROOT / "policies" / "solar_charging.lua").read_text()
    assert "every = 5" in text
    return {"solar_charging": text.replace("every = 5", "every = 1")}


def command(device):
    return device.flexibility()["command"]["state"]


def signed(words):
    """Two words, low one first, as Sungrow gives 32 bits."""
    value = words[1] << 16 | words[0]
    return value - (1 << 32) if value >= 1 << 31 else value


# --- charging with the sun ------------------------------------------------------------------------


@pytest.mark.parametrize("phases, sun, battery", [(3, 8000, False), (1, 3500, False),
                                                  (3, 8000, True)],
                         ids=["three phases", "one phase", "beside a battery"])
def test_the_car_follows_the_surplus(start_home, full, phases, sun, battery):
    home = start_home({"phases": phases, "wired": phases, "sun": sun, "battery": battery},
                      {"policy": "startDelay = 0", "battery": battery,
                       "wallbox": f"{FALLBACK}, phases = {phases}"})
    least = 6 * 230 * phases
    until(lambda: home.simulator.state()["charging"] >= least, "the car charges")
    home.steps(60)  # one more round of the policy
    grid, charging = [], []
    for _ in range(60 if full else 20):
        home.steps(10 if full else 3)
        state = home.simulator.state()
        grid.append(abs(state["grid"]))
        charging.append(state["charging"])
    assert statistics.median(grid) < 200, grid
    assert abs(statistics.median(charging) - (sun - 500)) < 200, "the car has it, not the battery"
    assert home.wallbox.effective()["winners"]["activePower"] != "fallback"


def test_a_short_cloud_does_not_stop_the_car_a_long_one_does(start_home):
    home = start_home({"battery": False},
                      {"policy": "startDelay = 0, stopDelay = 10", "battery": False,
                       "wallbox": FALLBACK}, policies=quick_policy())
    charging = lambda: home.simulator.state()["charging"]  # noqa: E731
    until(lambda: charging() > 7000, "the car charges")
    home.sun(1000)
    until(lambda: charging() < 5000, "it takes less under the cloud")
    assert charging() >= 6 * 230 * 3, "its least, not nothing"
    home.sun(8000)
    until(lambda: charging() > 7000, "it takes what there is again")
    limits = [values for _, address, values in home.simulator.writes("wallbox")
              if address == TERRA_LIMIT]
    assert [0, 0] not in limits[limits.index([0, 0], 0) + 1:], "it was not told to stop"
    home.sun(1000)
    until(lambda: home.truth("wallbox")["limitCurrent"] == 0, "it is stopped")
    until(lambda: charging() < 100, "it draws nothing")


def test_a_car_that_leaves_and_comes_back_charges_again(start_home):
    home = start_home({"battery": False}, {"policy": "startDelay = 0", "battery": False,
                                           "wallbox": FALLBACK}, policies=quick_policy())
    until(lambda: home.simulator.state()["charging"] > 7000, "the car charges")
    home.simulator.ask("plug wallbox off")
    until(lambda: home.wallbox.flexibility()["state"] == "unplugged", "it is seen to be gone")
    until(lambda: home.truth("wallbox")["limitCurrent"] == 0, "nothing is offered without a car")
    until(lambda: home.wallbox.constraints() == [], "and nothing is wanted")
    home.simulator.ask("plug wallbox on")
    until(lambda: home.simulator.state()["charging"] > 7000, "it charges again")


def test_a_car_that_takes_less_than_offered_is_below_and_no_fault(start_home):
    home = start_home({"car_current": 8, "battery": False}, {"battery": False})
    home.wallbox.post(priority=1000, validFor=600, activePower=10000)
    until(lambda: home.simulator.state()["charging"] > 5000, "it takes its 8 A")
    seen = until(lambda: home.wallbox.flexibility()["activePower"] > 5000 and
                 home.wallbox.flexibility(), "that is measured")
    assert (seen["command"]["following"], seen["command"]["state"]) == ("below", "confirmed")
    assert seen["setPoint"] == 10000
    home.steps(110)  # beyond the driver's lag
    seen = home.wallbox.flexibility()["command"]
    assert (seen["following"], seen["state"]) == ("below", "confirmed")


# --- what is published is what is true ------------------------------------------------------------


def settle(home):
    """Until nothing moves any more, in the house and in what is published of it."""
    def still():
        before = home.simulator.state()
        home.steps(25)
        after = home.simulator.state()
        return all(abs(before[word] - after[word]) <= 1
                   for word in ("grid", "charging", "battery", "pv"))
    until(still, "the house is at rest")
    for key, device in home.devices.items():
        first = device.flexibility()["updatedAt"]
        until(lambda d=device, f=first: d.flexibility()["updatedAt"] > f, f"{key} is read again")


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """Import, a discharging battery, a charging car and the hybrid's own panels at once."""
    folder = tmp_path_factory.mktemp("evening")
    simulator = Simulator(folder, homes.home(sun=3000, load=6000, hybrid_peak=4000))
    host = Host(folder, homes.site(simulator.ports))
    try:
        home = Home(simulator, host).until_online()
        home.wallbox.post(priority=1000, validFor=3600, activePower=5000)
        until(lambda: home.simulator.state()["charging"] > 4000, "the car charges")
        settle(home)
        yield home
    finally:
        assert (host.stop(), simulator.stop()) == (0, 0)


def test_flexibility_agrees_with_the_truth(evening):
    home = evening
    truth = home.simulator.state()
    seen = {key: device.flexibility() for key, device in home.devices.items()}
    devices = truth["devices"]
    assert seen["roof"]["activePower"] == devices["roof"]["pv"] < 0
    assert seen["hybrid"]["activePower"] == devices["battery"]["pv"] < 0
    assert seen["battery"]["activePower"] == devices["battery"]["battery"] < 0
    # The station does not count its own standby of 4 W.
    assert abs(seen["wallbox"]["activePower"] + 4 - devices["wallbox"]["charging"]) <= 1
    assert seen["hybrid_meter"]["activePower"] == truth["grid"] > 0
    assert abs(seen["grid"]["activePower"] - truth["grid"]) <= 9, "noise of 3 W on each phase"
    for phase, power in zip(truth["gridPhases"], seen["grid"]["activePowerPhases"]):
        assert abs(phase - power) <= 3
    assert abs(seen["battery"]["stateOfCharge"] - devices["battery"]["stateOfCharge"]) < 0.2
    assert seen["wallbox"]["state"] == "charging" and seen["roof"]["state"] == "producing"
    assert seen["wallbox"]["values"]["currentL1"] == pytest.approx(
        devices["wallbox"]["drawnCurrent"], abs=0.01)
    assert seen["wallbox"]["allowedRanges"] == [[0, 0], [4140, 11040]]
    assert seen["battery"]["allowedRanges"] == [[-2000, 2000]]
    assert seen["roof"]["allowedRanges"] == [[-8000, 0]]


def test_energies_agree_with_the_truth_and_unknown_is_not_zero(evening):
    home = evening

    def counted(key, field, least):
        """Read after `least`, within what the true counter did meanwhile and its resolution."""
        return until(lambda: home.devices[key].flexibility()[field] >= least, f"{key} has counted")
    truth = home.simulator.state()
    assert truth["gridEnergy"][0] > 1
    counted("grid", "energyImport", truth["gridEnergy"][0] - 0.01)
    counted("roof", "energyExport", int(-truth["devices"]["roof"]["pv"] * 2 / 3600))
    after = home.simulator.state()
    assert home.grid.flexibility()["energyImport"] <= home.simulator.state()["gridEnergy"][0] + 0.01
    assert home.roof.flexibility()["energyExport"] <= after["pvEnergy"][1] + 1
    assert abs(home.grid.flexibility()["energyExport"] - after["gridEnergy"][1]) < 0.01
    assert home.wallbox.flexibility()["energyImport"] is None, "the make tells none"
    assert home.roof.flexibility()["energyImport"] is None


def test_grid_is_load_and_charging_and_battery_and_pv(evening):
    home = evening
    power = {key: device.flexibility()["activePower"] for key, device in home.devices.items()}
    parts = power["wallbox"] + 4 + power["battery"] + power["roof"] + power["hybrid"]
    assert abs(power["grid"] - 6000 - parts) <= 9 + 1
    ac_power = signed(home.simulator.read("battery", SUNGROW_AC_POWER, 2, "input"))
    assert power["hybrid"] + power["battery"] == -ac_power, "the parts add up to the AC terminal"


def test_identity_is_what_the_makes_tell(start_home):
    home = start_home()
    bodies = {key: home.host.body(device.path) for key, device in home.devices.items()}
    told = {key: tuple(body[word] for word in
                       ("type", "manufacturer", "model", "serialNumber", "firmwareVersion"))
            for key, body in bodies.items()}
    assert told["roof"] == ("inverter", "Fronius", "Symo 8.2-3-M", "34120967", "3.24.1-3")
    assert [(told[key][0], told[key][3]) for key in ("grid", "wallbox")] == [
        ("meter", "21450731"), ("chargingStation", "2203114562")]
    assert {told[key][3] for key in ("battery", "hybrid", "hybrid_meter")} == {"A2311105873"}
    assert [told[key][0] for key in ("battery", "hybrid", "hybrid_meter")] == [
        "battery", "inverter", "meter"]


# --- constraints reach the registers --------------------------------------------------------------


def test_a_higher_limit_reaches_the_charger_and_ends(start_home):
    home = start_home({"battery": False}, {"policy": "startDelay = 0", "battery": False,
                                           "wallbox": FALLBACK}, policies=quick_policy())
    limit = lambda: home.truth("wallbox")["limitCurrent"]  # noqa: E731
    until(lambda: limit() > 10, "the policy charges with 7.5 kW")
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    invalid_at = end.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    status, body, _ = home.wallbox.post(priority=3000, maxActivePower=4600, invalidAt=invalid_at,
                                        reason="the street is full")
    assert status == 201 and body["outcome"] == "applied"
    until(lambda: limit() < 7, "the charger has it")
    assert home.simulator.writes("wallbox")[-1][1:] == (TERRA_LIMIT, [0, 6666])  # 4600 W / 690 V
    assert home.simulator.read("wallbox", TERRA_LIMIT, 2) == [0, 6666]
    seen = home.wallbox.effective()
    assert seen["maxActivePower"] == 4600 and seen["activePower"] == 4600
    assert seen["winners"]["maxActivePower"] == body["id"]
    mine, policy = seen["constraints"]
    assert mine["id"] == body["id"] and policy["createdBy"] == "policy:home/solar"
    assert policy["outcome"] == "clamped" and policy["against"] == body["id"]
    assert "4600 W" in policy["explanation"] and "priority 3000" in policy["explanation"]
    assert "to spare" in policy["reason"]
    until(lambda: home.simulator.state()["charging"] < 4700, "the car obeys")
    until(lambda: limit() > 10, "it lapses by itself and the policy's wish is back")
    assert home.wallbox.effective()["at"] >= invalid_at
    assert [item["createdBy"] for item in home.wallbox.constraints()] == ["policy:home/solar"]

    _, body, _ = home.wallbox.post(priority=3000, maxActivePower=4600, validFor=3600)
    until(lambda: limit() < 7, "the charger has the second one")
    assert home.wallbox.delete(body["id"])[0] == 204
    assert home.wallbox.effective()["maxActivePower"] == 11040
    until(lambda: limit() > 10, "what was deleted is over")


def sunspec_in_a_hurry(revert=4, refresh=1):
    """The shipped driver with short times; what it writes and when it reverts stays the same."""
    text = (ROOT / "drivers" / "sunspec.lua").read_text()
    assert "min = 60, max = 3600, default = 120" in text and text.count("refresh = 20") == 2
    text = text.replace("min = 60, max = 3600, default = 120", f"min = 1, max = 9, default = {revert}")
    return {"sunspec": text.replace("refresh = 20", f"refresh = {refresh}")}


def test_pv_is_curtailed_and_released(start_home):
    home = start_home({"battery": False}, {"battery": False})
    assert home.simulator.state()["pv"] == -8000
    _, body, _ = home.roof.post(priority=3000, validFor=3600, minActivePower=-3000)
    until(lambda: home.simulator.state()["pv"] == -3000, "the inverter throttles")
    until(lambda: command(home.roof) == "confirmed", "it is read back")
    assert home.simulator.read("roof", SUNSPEC_LIMIT) == [3750]
    until(lambda: home.roof.flexibility()["activePower"] == -3000, "that is published")
    assert home.roof.flexibility()["state"] == "throttled"
    home.roof.delete(body["id"])
    until(lambda: home.simulator.state()["pv"] == -8000, "it is released")
    assert home.simulator.read("roof", SUNSPEC_LIMIT_ENABLED) == [0]


def test_a_pv_limit_is_renewed_before_it_runs_out_and_ends_with_the_host(start_home, full):
    more = {} if full else {"drivers": sunspec_in_a_hurry()}
    site = {"battery": False, "roof": "parameters = { _revertTime = 60 }" if full else ""}
    home = start_home({"battery": False}, site, **more)
    home.roof.post(priority=3000, validFor=3600, minActivePower=-3000)
    until(lambda: home.simulator.state()["pv"] == -3000, "the inverter throttles")
    for _ in range(80 if full else 12):  # twice the time after which it would revert
        home.steps(15 if full else 7)
        assert home.simulator.state()["pv"] == -3000
    home.host.kill()
    until(lambda: home.simulator.state()["pv"] == -8000, "without the host it reverts by itself",
          PATIENCE_S * 2)
    home.host.start()
    until(lambda: home.simulator.state()["pv"] == -3000, "and is limited again after its return")


def test_the_battery_is_charged_discharged_held_limited_and_released(start_home):
    home = start_home({"hybrid_peak": 4000})
    battery = lambda: home.simulator.state()["battery"]  # noqa: E731
    until(lambda: battery() == 2000, "on its own it takes what is to spare")
    untouched = home.simulator.read("battery", SUNGROW_MODE, 3)

    def want(fields, power, mode, register):
        _, body, _ = home.battery.post(priority=1000, validFor=600, **fields)
        until(lambda: battery() == power, f"the battery does {fields}")
        until(lambda: command(home.battery) == "confirmed", "it is read back")
        assert home.simulator.read("battery", SUNGROW_MODE, len(mode)) == mode
        assert home.simulator.read("battery", SUNGROW_MAX_CHARGE) == [register]
        until(lambda: home.battery.flexibility()["activePower"] == power, "it is published")
        return body["id"]

    ids = [want({"activePower": 1500}, 1500, [2, CHARGE, 1500], 200),
           want({"activePower": -1200}, -1200, [2, DISCHARGE, 1200], 200),
           want({"activePower": 0}, 0, [2, STOP], 200)]
    for one in ids:
        home.battery.delete(one)
    ids = [want({"maxActivePower": 800}, 800, [0, STOP, 0], 80)]
    home.battery.delete(ids[0])
    until(lambda: battery() == 2000, "it is on its own again")
    assert home.simulator.read("battery", SUNGROW_MODE, 3) == [0, STOP, 0] == untouched[:2] + [0]
    assert home.simulator.read("battery", SUNGROW_MAX_CHARGE, 2) == [200, 200]


def test_the_other_parts_of_a_hybrid_take_no_command(start_home):
    home = start_home({"hybrid_peak": 4000})
    for part in (home.hybrid, home.hybrid_meter, home.grid):
        assert part.post(priority=1000, validFor=60, maxActivePower=0)[0] == 422
    home.battery.post(priority=1000, validFor=600, activePower=-700)
    until(lambda: home.battery.flexibility()["activePower"] == -700, "the battery discharges")
    assert home.hybrid.flexibility()["command"]["state"] == "none"
    assert home.hybrid.flexibility()["activePower"] == home.truth("battery")["pv"] < 0


def test_both_parts_of_a_sunspec_machine_are_commanded(start_home):
    home = start_home({"battery": False, "storage": True, "sun": 5000},
                      {"battery": False, "storage": True})
    battery = lambda: home.simulator.state()["battery"]  # noqa: E731
    until(lambda: home.storage.flexibility()["allowedRanges"] == [[-4000, 4000]],
          "what the storage can do is known")
    assert abs(home.storage.flexibility()["stateOfCharge"] - 50) < 1
    assert home.storage.flexibility()["activePower"] is None, "model 124 has none"
    until(lambda: battery() == 4000, "on its own it takes what is to spare")
    for fields, power in (({"activePower": 1000}, 1000), ({"activePower": -2500}, -2500),
                          ({"activePower": 0}, 0)):
        home.storage.post(priority=1000, validFor=600, **fields)
        until(lambda p=power: battery() == p, f"the storage does {fields}")
    _, limit, _ = home.roof.post(priority=3000, validFor=600, minActivePower=-4000)
    until(lambda: home.simulator.state()["pv"] == -4000, "PV is curtailed beside it")
    assert battery() == 0, "the storage still holds"
    for item in home.storage.constraints():
        home.storage.delete(item["id"])
    until(lambda: home.simulator.read("roof", SUNSPEC_STORAGE_MODE) == [0], "it is released")
    assert home.simulator.state()["pv"] == -4000, "the roof is still limited"
    home.storage.post(priority=1000, validFor=600, maxActivePower=500)
    until(lambda: battery() == 500, "the storage works within a limit")
    home.roof.delete(limit["id"])
    until(lambda: home.simulator.state()["pv"] == -5000, "the roof is released")


# --- things that go wrong -------------------------------------------------------------------------


def now():
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_the_host_outlives_the_devices_and_tells_the_newest_limit_first(start_home):
    home_of = {"battery": False, "ports": tuple(free_port() for _ in range(3))}
    home = start_home(home_of, {"battery": False})
    pid = home.host.pid_of_child()
    home.wallbox.post(priority=1000, validFor=3600, activePower=6000)
    until(lambda: home.simulator.state()["charging"] > 5000, "the car charges")
    home.simulator.kill()
    for key, device in home.devices.items():
        until(lambda d=device: d.flexibility()["connection"] == "offline", f"{key} is offline")
        until(lambda d=device: d.flexibility()["invalidAt"] < now(), f"{key} is no longer trusted")
    assert command(home.wallbox) == "unreachable"
    assert home.wallbox.post(priority=3000, validFor=3600, maxActivePower=4600)[0] == 201
    assert home.roof.post(priority=3000, validFor=3600, minActivePower=-2000)[0] == 201
    home.simulator.start()
    home.until_online()
    until(lambda: command(home.roof) == "confirmed", "the roof is told")
    until(lambda: command(home.wallbox) == "confirmed", "the wallbox is told")
    assert home.simulator.writes("roof")[0][1:] == (SUNSPEC_LIMIT, [2500])
    limits = [values for _, address, values in home.simulator.writes("wallbox")
              if address == TERRA_LIMIT]
    # 6.66 A at 230 V; less as long as the voltage is not measured. 6000 W would be 8.69 A.
    assert limits and all(6000 <= milliamperes <= 6666 for _, milliamperes in limits), limits
    assert home.host.pid_of_child() == pid
    until(lambda: 4000 < home.simulator.state()["charging"] <= 4604, "the car charges as told")


def test_another_serial_number_is_a_wrong_device_and_gets_no_writes(start_home):
    home = start_home({"battery": False}, {"battery": False})

    def change(serial):
        home.simulator.ask("silence wallbox on")
        until(lambda: home.wallbox.flexibility()["connection"] == "offline", "it is offline")
        home.simulator.ask(f"identity wallbox {serial}")
        home.simulator.ask("silence wallbox off")

    change("4711")
    until(lambda: home.wallbox.flexibility()["connection"] == "wrongDevice", "it is noticed")
    told = home.wallbox.flexibility()["connectionDetail"]
    assert "4711" in told and homes.SERIALS["wallbox"] in told
    before = home.simulator.writes("wallbox")
    assert home.wallbox.post(priority=3000, validFor=3600, maxActivePower=5000)[0] == 201
    home.steps(30)
    assert home.simulator.writes("wallbox") == before
    assert home.roof.flexibility()["connection"] == "online"
    change(homes.SERIALS["wallbox"])
    home.wallbox.until_online()
    until(lambda: home.simulator.writes("wallbox") != before, "the right one is told")


def test_an_edited_driver_changes_the_value_and_nonsense_changes_nothing(start_home):
    home = start_home({"battery": False, "sun": 2500}, {"battery": False})
    text = (ROOT / "drivers" / "eastron_sdm.lua").read_text()
    row = 'float("activePower", 52, "W"),'
    assert row in text
    path = home.host.folder / "drivers" / "eastron_sdm.lua"

    def write(content):
        new = path.with_suffix(".new")
        new.write_text(content)
        new.rename(path)

    def shows(watts):
        return abs(home.grid.flexibility()["activePower"] - watts) < 100

    def driver():
        return home.host.body("/v1/drivers/eastron_sdm")

    until(lambda: shows(-1996), "the surplus is published")
    assert driver()["shadows"] == []
    write(text.replace(row, row.replace("float", "double")).replace("\nreturn {", """
local function double(...)
  local point = float(...)
  point.scale = 2
  return point
end

return {""", 1))
    until(lambda: shows(-3992), "the new scale holds")
    seen = driver()
    assert seen["path"] == str(path) and seen["status"] == "active"
    assert seen["shadows"] == [str(ROOT / "drivers" / "eastron_sdm.lua")]
    write(text.replace(row, 'float("activePower", 52, "parsec"), float(,'))
    error = until(lambda: driver()["errors"], "the mistake is told")[0]
    line = text[:text.index(row)].count("\n") + 1
    assert f"{line}" in error["where"] + error["text"]
    write(text.replace(row, 'float("activePower", 52, "parsec"),'))
    until(lambda: any("parsec" in item["text"] for item in driver()["errors"]), "so is the next")
    assert shows(-3992) and driver()["generation"] == seen["generation"]
    assert home.grid.flexibility()["connection"] == "online"
    path.unlink()
    until(lambda: shows(-1996), "without it the shipped one serves again")
    assert driver()["path"] == str(ROOT / "drivers" / "eastron_sdm.lua")
    assert driver()["errors"] == driver()["shadows"] == []


# --- programs from outside ------------------------------------------------------------------------


@pytest.mark.parametrize("program", [[sys.executable, "solar_charging.py"],
                                     ["lua5.4", "solar_charging.lua"]],
                         ids=["python", "lua"])
def test_an_example_charges_the_car_from_outside(start_home, full, program):
    home = start_home({"battery": False}, {"battery": False, "wallbox": FALLBACK})
    until(lambda: home.grid.flexibility()["activePower"] < -7000, "there is much to spare")
    environment = dict(os.environ, DERD_URL=f"http://127.0.0.1:{home.host.port}",
                       DERD_TOKEN=home.host.make_token("example", 1999))
    with subprocess.Popen([program[0], EXAMPLES / program[1]], env=environment,
                          stdout=subprocess.DEVNULL) as example:
        try:
            wish, = until(home.wallbox.constraints, "its wish arrives")
            assert (wish["priority"], wish["activePower"], wish["outcome"]) == (1500, 0, "applied")
            assert wish["createdBy"] == "token:example" and "W to spare" in wish["reason"]
            until(lambda: home.wallbox.constraints()[0]["invalidAt"] > wish["invalidAt"],
                  "it is renewed")
            assert [item["id"] for item in home.wallbox.constraints()] == [wish["id"]]
            if full:
                until(lambda: home.simulator.state()["charging"] > 7000, "the car charges", 180)
        finally:
            example.terminate()
    if full:
        until(lambda: home.truth("wallbox")["limitCurrent"] == 0, "the last wish lapses")


def test_a_car_on_one_phase_of_three_starts_again_on_what_one_phase_needs(start_home):
    home = start_home({"phases": 1, "battery": False}, {"battery": False})
    first = home.wallbox.flexibility()["allowedRanges"]
    assert first == [[0, 0], [4140, 11040]], "before it charges, all phases count"
    home.wallbox.post(priority=1000, validFor=2, activePower=5000)
    until(lambda: home.wallbox.flexibility()["allowedRanges"] == [[0, 0], [1380, 11040]],
          "one phase is seen in use")
    assert home.wallbox.post(priority=1500, validFor=2, activePower=0)[0] == 201
    until(lambda: home.simulator.state()["charging"] < 50, "it pauses")
    assert home.wallbox.post(priority=1600, validFor=600, activePower=2000)[0] == 201
    until(lambda: home.simulator.state()["charging"] > 1800, "it charges again, with 2 kW")
    home.simulator.ask("plug wallbox off")
    until(lambda: home.wallbox.flexibility()["allowedRanges"] == first, "it is forgotten")
