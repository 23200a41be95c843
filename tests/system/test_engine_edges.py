"""The edges of the engine: what is read in blocks, values and identities of another connection or driver,
and what a changed driver means for the devices that it speaks to."""

import pathlib

from harness import until
from sites import BATTERY, LOAD, device, one, site

DRIVERS = pathlib.Path(__file__).parent / "drivers"


def plain(name, *changes):
    text = (DRIVERS / f"{name}.lua").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def write(host, kind, name, text):
    path = host.folder / kind / f"{name}.lua"
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.rename(path)


def reads_of(peer, address):
    return [entry for entry in peer.journal if entry[0] == "read" and entry[2] == address]


def until_reads(peer, address, count):
    until(lambda: len(reads_of(peer, address)) >= count, f"register {address} is read {count} times")


# --- blocks --------------------------------------------------------------------------------------

SLOW_NEIGHBOUR = """
    { name = "temperature", kind = "holding", address = 300, encoding = "int16", unit = "degC",
      period = 0.2 },
    { name = "voltageL1", kind = "holding", address = 400, encoding = "uint16", unit = "V",
      period = 3600 },
    { name = "voltageL2", kind = "holding", address = 500, encoding = "uint16", unit = "V",
      period = 3600 },
  },
  controls"""


def test_a_refused_register_does_not_shift_what_another_period_reads(start_host, peer):
    text = one(peer, "plain_load")
    peer.unit(1, {**LOAD, 400: 231, 500: 232})
    driver = plain("plain_load", ("\n  },\n  controls", SLOW_NEIGHBOUR))
    host = start_host(text, drivers={"plain_load": driver})
    dut = host.device("dut")
    until_reads(peer, 0, 3)
    values = dut.flexibility()["values"]
    assert (values["voltageL1"], values["voltageL2"]) == (231, 232)


# --- another connection --------------------------------------------------------------------------


def reconnect(peer, dut, change):
    peer.close()
    until(lambda: dut.flexibility()["connection"] == "offline", "it is offline")
    change()
    peer.forget()
    peer.open()


def test_a_device_that_hides_its_serial_number_is_not_taken_for_the_one_before(start_host, peer):
    dut = start_host(one(peer, "plain_battery")).device("dut")
    dut.until_online()
    dut.post(priority=3000, validFor=600, maxActivePower=100)
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    stranger = {address: value for address, value in BATTERY.items() if address < 20}
    reconnect(peer, dut, lambda: peer.unit(1, stranger))
    until(lambda: dut.flexibility()["connection"] == "wrongDevice", "the stranger is noticed")
    assert peer.writes() == []


RATED = ("\n  },\n  controls", """
    { name = "ratedPower", kind = "holding", address = 300, encoding = "uint16", unit = "W",
      period = "once" },
  },
  controls""")


def test_what_was_read_once_is_not_kept_over_a_connection_that_refuses_it(start_host, peer):
    text = one(peer, "plain_load")
    peer.unit(1, {**LOAD, 300: 4000})
    dut = start_host(text, drivers={"plain_load": plain("plain_load", RATED)}).device("dut")
    dut.until_online()
    until(lambda: dut.flexibility()["allowedRanges"] == [[0, 4000]], "its rating is read")
    reconnect(peer, dut, lambda: peer.unit(1, LOAD))
    until(lambda: dut.flexibility()["connection"] == "online" and
          dut.flexibility()["allowedRanges"] == [[0, 11000]], "only the parameter is known")


# --- another driver ------------------------------------------------------------------------------


def test_a_reloaded_drivers_fallback_is_taken(start_host, peer):
    def driver(watts):
        return plain("plain_load", ("controls = {", f"fallback = {{ activePower = {watts} }},\n"
                                    "  controls = {"))
    host = start_host(one(peer, "plain_load"), drivers={"plain_load": driver(500)})
    until(lambda: peer.get_int32(1, 11) == 500, "the fallback is written")
    write(host, "drivers", "plain_load", driver(700))
    until(lambda: peer.get_int32(1, 11) == 700, "the new one is written", 20)


def test_a_reloaded_driver_may_change_the_type(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    write(host, "drivers", "plain_load",
          plain("plain_load", ('"heatPump"', '"battery"'), ("ratedPower =", "maxChargePower =")))
    until(lambda: host.body(dut.path)["type"] == "battery", "the new type shows", 20)
    until(lambda: dut.flexibility()["connection"] == "online" and
          dut.post(priority=5, validFor=600, activePower=-5)[0] == 201, "its sign is a battery's", 20)


def two_parts(first, second):
    def part(name, address):
        return f"""    {name} = {{ type = "heatPump",
      points = {{
        {{ name = "activePower", kind = "holding", address = {address}, encoding = "int32",
          unit = "W", period = 0.2 }},
        {{ name = "_power", kind = "holding", address = {address + 11}, encoding = "uint32",
          unit = "W", period = "never", writable = {{ min = 0, max = 100000 }} }},
      }},
      controls = {{ withoutSetPoint = "followsMax",
        charge = {{ {{ point = "_power", from = "power" }} }},
        hold = {{ {{ point = "_power", value = 0 }} }}, lag = 1 }} }},
"""
    return ("""return { api = 1, name = "twin", version = "1", manufacturer = "Test", models = { "t" },
  link = { kinds = { "tcp" }, timeout = 0.5 },
  parameters = { ratedPower = { unit = "W", min = 0, max = 100000, default = 11000 } },
  points = {},
  parts = {
""" + part(first, 0) + part(second, 100) + "  },\n}\n")


def twin(peer, *parts):
    peer.unit(1, {**LOAD, **{address + 100: value for address, value in LOAD.items()}})
    return site(*(device(peer, part, "twin", 1, f'as = "{part}"') for part in parts))


def test_a_reloaded_driver_may_place_its_parts_elsewhere(start_host, peer):
    host = start_host(twin(peer, "b"), drivers={"twin": two_parts("a", "b")})
    b = host.device("b")
    b.until_online()
    b.post(priority=5, validFor=600, activePower=1111)
    until(lambda: peer.get_int32(1, 111) == 1111, "it is written to the second part")
    write(host, "drivers", "twin", two_parts("b", "c"))
    until(lambda: peer.get_int32(1, 11) == 1111, "it is written where the part is now", 20)


def test_a_part_joins_the_generation_that_its_machine_speaks(start_host, peer):
    host = start_host(twin(peer, "a"), drivers={"twin": two_parts("a", "b")})
    host.device("a").until_online()
    write(host, "drivers", "twin", two_parts("b", "c"))  # has no "a": the old one stays in use
    until(lambda: host.body("/v1/drivers/twin")["generation"] == 2, "it is loaded")
    host.write_site(twin(peer, "a", "b"))
    until(lambda: host.get("/v1/clusters/home/devices/b")[0] == 200, "the second part is there")
    b = host.device("b")
    b.until_online()
    b.post(priority=5, validFor=600, activePower=1234)
    until(lambda: peer.get_int32(1, 111) == 1234, "b is where the machine's driver has it", 20)
    assert host.device("a").flexibility()["connection"] == "online"


def test_one_device_in_two_clusters_is_refused_the_second_time(start_host, peer):
    peer.unit(1, LOAD)
    entry = device(peer, "dut", "plain_load")
    text = ('return { http = { listen = "127.0.0.1:@HTTP@" }, store = { directory = "state" },\n'
            f'  clusters = {{ {{ key = "home", devices = {{ {entry} }} }},\n'
            f'    {{ key = "other", devices = {{ {entry} }} }} }} }}\n')
    host = start_host(text)
    host.device("dut").until_online()
    assert host.device("dut", "other").flexibility()["connection"] == "notConfigured"
    host.write_site(one(peer, "plain_load"))
    until(lambda: host.get("/v1/clusters/other")[0] == 404, "the other cluster is gone")
    host.device("dut").post(priority=5, validFor=600, activePower=300)
    until(lambda: peer.get_int32(1, 11) == 300, "the first is still spoken to")


def test_an_absent_unit_is_told_once(start_host, peer):
    peer.unit(1, LOAD)
    peer.unit(2, LOAD)
    host = start_host(site(device(peer, "a", "plain_load", 1), device(peer, "b", "plain_load", 2)))
    host.device("b").until_online()
    del peer.units[1]
    a = host.device("a")
    until(lambda: a.flexibility()["connection"] == "offline", "it is offline")
    peer.forget()
    before = len(reads_of(peer, 0))
    until(lambda: len(reads_of(peer, 0)) > before + 30, "some seconds of its neighbour")
    assert host.log_text().count("home/a: offline") == 1


# --- values --------------------------------------------------------------------------------------


def test_effective_shows_the_state_of_charge_and_the_ranges_as_they_are(start_host, peer):
    dut = start_host(one(peer, "plain_battery")).device("dut")
    dut.until_online()
    dut.post(priority=5, validFor=600, maxActivePower=100)
    before = dut.effective()["at"]
    peer.set(1, 2, 60)
    until(lambda: dut.flexibility()["stateOfCharge"] == 60, "60 % is read")
    until(lambda: dut.effective()["at"] > before, "and decided with", 20)


SLOW = ('unit = "W",\n      period = 0.2', 'unit = "W",\n      period = 0.6')
FAST = ("\n  },\n  controls", """
    { name = "voltageL1", kind = "holding", address = 300, encoding = "uint16", unit = "V",
      period = 0.2 },
  },
  controls""")
TWICE = """  hooks = { values = function(dev, values)
    if values.activePower then return { activePower = 2 * values.activePower } end
  end },
}
"""


def test_a_hook_does_not_make_an_old_value_young(start_host, peer):
    text = one(peer, "plain_load")
    peer.unit(1, {**LOAD, 300: 230})
    peer.set_int32(1, 0, 100)
    driver = plain("plain_load", SLOW, FAST)
    driver = driver[:driver.rindex("}")] + TWICE
    dut = start_host(text, drivers={"plain_load": driver}).device("dut")
    until(lambda: dut.flexibility()["activePower"] == 200, "the hook's value shows")
    with peer.lock:  # the power's register is gone, the voltage is still read
        del peer.units[1][0]
    until(lambda: dut.flexibility()["values"]["voltageL1"] == 230 and
          "its measurement is stale" in dut.host.log_text(), "the power grows old", 20)


def test_a_hook_that_fails_is_told_once(start_host, peer):
    text = one(peer, "plain_load")
    driver = plain("plain_load")
    driver = driver[:driver.rindex("}")] + TWICE.replace("2 *", "nobody *")
    dut = start_host(text, drivers={"plain_load": driver}).device("dut")
    until(lambda: "hooks.values" in dut.host.log_text(), "the mistake is told")
    until_reads(peer, 0, 10)
    assert dut.host.log_text().count("hooks.values of") == 1


# --- what wakes the loop -------------------------------------------------------------------------

def test_what_the_store_writes_wakes_nobody(start_host, peer):
    """The kernel tells a watched folder of each page that is written into a file of it."""
    host = start_host(one(peer))
    descriptors = pathlib.Path(f"/proc/{host.pid_of_child()}/fdinfo")
    watched = [int(line.split()[2].removeprefix("ino:"), 16)
               for file in descriptors.iterdir() for line in file.read_text().splitlines()
               if line.startswith("inotify ")]
    assert (host.folder / "state" / "scripts").stat().st_ino in watched
    assert (host.folder / "state").stat().st_ino not in watched
