"""Devices on a serial line: several units, a dead one, noise, and an adapter that is pulled out."""

import pytest

from harness import until
from serial_peer import LibmodbusLine, SerialPeer
from sites import LOAD, site

LINE_LOAD = """return {
  api = 1, name = "line_load", version = "1", manufacturer = "Test", models = { "plain" },
  type = "heatPump",
  link = { kinds = { "serial" }, timeout = 0.3 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 11000 } },
  points = {
    { name = "activePower", address = 0, encoding = "int32", unit = "W", period = 0.2 },
    { name = "_power", address = 11, encoding = "uint32", unit = "W", period = "never",
      writable = { min = 0, max = 100000 } },
  },
  controls = {
    withoutSetPoint = "followsMax",
    charge = { { point = "_power", from = "power" } },
    hold = { { point = "_power", value = 0 } },
    lag = 1,
  },
}"""


@pytest.fixture
def line(tmp_path):
    line = SerialPeer(tmp_path)
    yield line
    line.close()


def device(line, key, unit, driver="line_load", link=None):
    return (f'{{ key = "{key}", driver = "{driver}", link = "{link or line.link()}", '
            f"unit = {unit} }},\n")


def start(start_host, line, *units):
    for unit in units:
        line.unit(unit, LOAD)
    text = site(*(device(line, f"load{unit}", unit) for unit in units))
    host = start_host(text, drivers={"line_load": LINE_LOAD})
    return [host.device(f"load{unit}") for unit in units]


def sees(device, power):
    return until(lambda: device.flexibility()["connection"] == "online" and
                 device.flexibility()["activePower"] == power, f"{device.path} shows {power} W")


def polled(line, unit, times):
    """Waits until the unit was asked so many more times."""
    before = line.asked.count(unit)
    until(lambda: line.asked.count(unit) >= before + times, f"unit {unit} is asked {times} times")


def test_units_of_one_line_are_told_apart_and_commanded(start_host, tmp_path):
    """Against libmodbus, one of whose units falls silent and comes back in between."""
    line = LibmodbusLine(tmp_path, 1, 2, 247)
    text = site(*(device(line, f"load{unit}", unit) for unit in (1, 2, 247)))
    host = start_host(text, drivers={"line_load": LINE_LOAD})
    first, second, last = (host.device(f"load{unit}") for unit in (1, 2, 247))
    for load, unit in ((first, 1), (second, 2), (last, 247)):
        line.set_int32(unit, 0, 100 + unit)
        sees(load, 100 + unit)
    status, _, _ = second.post(priority=3000, validFor=600, maxActivePower=4000)
    assert status == 201
    until(lambda: line.get_int32(2, 11) == 4000, "the limit is written")
    until(lambda: second.flexibility()["command"]["state"] == "confirmed", "and confirmed")
    line.ask("mute", 2)
    until(lambda: second.flexibility()["connection"] == "offline", "the mute one is offline")
    second.post(priority=3001, validFor=600, maxActivePower=3000)
    line.set_int32(1, 0, 55)
    line.set_int32(247, 0, 66)
    sees(first, 55)
    sees(last, 66)
    assert line.get_int32(2, 11) == 4000
    line.ask("speak", 2)
    until(lambda: line.get_int32(2, 11) == 3000, "the limit of the time between is written")
    sees(second, 102)
    assert line.get_int32(1, 11) == line.get_int32(247, 11) == 0, "written to the wrong unit"
    host.stop()
    line.close()


def test_a_dead_unit_costs_the_others_one_timeout_a_probe(start_host, line):
    first, dead, last = start(start_host, line, 1, 2, 3)
    dead.until_online()
    line.silent.add(2)
    until(lambda: dead.flexibility()["connection"] == "offline", "the dead one is offline")
    for device, unit in ((first, 1), (last, 3)):
        line.set_int32(unit, 0, 50 + unit)
        sees(device, 50 + unit)
    with line.lock:
        line.asked.clear()
    until(lambda: line.asked.count(2) >= 3, "it is probed again and again")
    with line.lock:
        asked = list(line.asked)
    assert (2, 2) not in list(zip(asked, asked[1:])), "two time-outs stand together"
    assert asked.count(1) > 3 < asked.count(3)
    assert first.flexibility()["connection"] == last.flexibility()["connection"] == "online"
    line.silent.clear()
    dead.until_online()


def test_many_dead_units_do_not_take_the_line_away(start_host, line):
    alive, *dead = start(start_host, line, 1, 2, 3, 4, 5)
    alive.until_online()
    line.silent.update((2, 3, 4, 5))
    for device in dead:
        until(lambda d=device: d.flexibility()["connection"] == "offline", "it is offline")
    polled(line, 5, 2)
    line.set_int32(1, 0, 777)
    sees(alive, 777)
    assert alive.host.log_text().count("connected") == 1
    line.silent.clear()
    for device in dead:
        device.until_online()


def test_an_adapter_that_is_pulled_out_comes_back_by_itself(start_host, line):
    (load,) = start(start_host, line, 1)
    load.until_online()
    line.close()
    until(lambda: load.flexibility()["connection"] == "offline", "it is offline")
    load.post(priority=3000, validFor=600, maxActivePower=1234)
    line.forget()
    line.open()
    load.until_online()
    until(lambda: line.get_int32(1, 11) == 1234, "the limit of the time between is written")
    assert "plugged in" in load.host.log_text()


def test_the_host_starts_without_the_adapter(start_host, line):
    line.close()
    (load,) = start(start_host, line, 1)
    until(lambda: load.flexibility()["connection"] == "offline", "it is offline")
    line.open()
    load.until_online()


def test_noise_and_slow_answers_are_survived(start_host, line):
    (load,) = start(start_host, line, 1)
    load.until_online()
    line.garbage = 1
    until(lambda: line.garbage == 0, "an answer was garbled")
    line.set_int32(1, 0, 31)
    sees(load, 31)
    line.slow = True
    line.set_int32(1, 0, 32)
    sees(load, 32)
    assert load.host.log_text().count("connected") == 1


def test_a_driver_must_know_the_kind_of_its_link(start_host, line, peer):
    text = site(device(line, "tcponly", 1, driver="plain_load"),
                device(line, "serialonly", 1, link=f"tcp://127.0.0.1:{peer.port}"))
    host = start_host(text, drivers={"line_load": LINE_LOAD})
    for key, word in (("tcponly", 'lacks \\"serial\\"'), ("serialonly", "serial lines only")):
        assert host.device(key).flexibility()["connection"] == "notConfigured"
        assert word.replace("\\", "") in host.log_text()
    assert line.asked == []


def test_mistakes_in_a_serial_link_are_told_by_check(tmp_path, line):
    import subprocess
    from harness import DERD
    path = tmp_path / "site.lua"
    path.write_text(site(device(line, "a", 0),
                         device(line, "b", 248, link="rtu://ttyUSB0?baud=1&stop=3"),
                         device(line, "c", 2, link=line.link("?parity=even"))).replace("@HTTP@", "1"))
    checked = subprocess.run([DERD, "check", path], capture_output=True, text=True, check=False)
    said = checked.stdout + checked.stderr
    assert checked.returncode == 1
    for word in ("must be a path", "baud must be", "stop must be", "got 0", "got 248",
                 "same port with other options"):
        assert word in said, said
