"""Failure is a state: devices that go, come back, lie about who they are, refuse, or never answered."""

import pathlib

from harness import until
from sites import BATTERY, LOAD, device, one, site

PLAIN_LOAD = (pathlib.Path(__file__).parent / "drivers" / "plain_load.lua").read_text()


def start_load(start_host, peer, extra=""):
    dut = start_host(one(peer, "plain_load", extra)).device("dut")
    dut.until_online()
    return dut


def command(dut):
    return dut.flexibility()["command"]["state"]


def test_a_device_that_goes_is_offline_and_comes_back(start_host, peer):
    dut = start_load(start_host, peer)
    until(lambda: dut.flexibility()["activePower"] is not None, "it is measured")
    peer.close()
    gone = until(lambda: dut.flexibility()["connection"] == "offline" and dut.flexibility(),
                 "it is offline")
    assert gone["activePower"] is not None, "the last value stays, with its end of trust"
    until(lambda: dut.effective()["at"] > dut.flexibility()["invalidAt"] or
          dut.post(priority=0, validFor=1, activePower=0), "invalidAt passes")
    peer.set_int32(1, 0, 321)
    peer.open()
    until(lambda: dut.flexibility()["connection"] == "online" and
          dut.flexibility()["activePower"] == 321, "it is back with a fresh value")


def test_a_limit_that_arrives_while_the_link_is_down_is_the_first_thing_written(start_host, peer):
    dut = start_load(start_host, peer)
    dut.post(priority=1000, validFor=600, activePower=9000)
    until(lambda: peer.get_int32(1, 11) == 9000, "the set point is written")
    peer.close()
    until(lambda: dut.flexibility()["connection"] == "offline", "it is offline")
    status, body, _ = dut.post(priority=3000, validFor=600, maxActivePower=0)
    assert status == 201 and command(dut) == "unreachable"
    peer.forget()
    peer.open()
    until(lambda: peer.writes(), "something is written")
    assert peer.writes()[0] == (11, [0, 0])
    until(lambda: command(dut) == "confirmed", "it is confirmed")
    written = [entry for entry in peer.journal if entry[0] == "write"]
    before = peer.journal[:peer.journal.index(written[0])]
    assert all(entry[0] == "read" for entry in before)
    assert not any(entry[2] == 0 for entry in before), "no poll stands before the command"


def test_one_silent_unit_costs_its_neighbour_nothing(start_host, peer):
    peer.unit(1, LOAD)
    peer.unit(2, LOAD)
    host = start_host(site(device(peer, "a", "plain_load", 1), device(peer, "b", "plain_load", 2)))
    a, b = host.device("a"), host.device("b")
    a.until_online()
    b.until_online()
    peer.silent.add(1)
    until(lambda: a.flexibility()["connection"] == "offline", "the silent one is offline")
    first = b.flexibility()["updatedAt"]
    until(lambda: b.flexibility()["updatedAt"] > first, "the other is still polled")
    assert b.flexibility()["connection"] == "online"
    peer.silent.clear()
    a.until_online()


def test_another_serial_number_is_a_wrong_device_and_gets_no_writes(start_host, peer):
    dut = start_host(one(peer, "plain_battery")).device("dut")
    dut.until_online()
    peer.close()
    until(lambda: dut.flexibility()["connection"] == "offline", "it is offline")
    dut.post(priority=3000, validFor=600, maxActivePower=100)
    peer.set_text(1, 20, "OTHER", 4)
    peer.forget()
    peer.open()
    until(lambda: dut.flexibility()["connection"] == "wrongDevice", "the stranger is noticed")
    assert peer.writes() == []
    text = one(peer, "plain_battery", 'serialNumber = "OTHER"')
    peer.set_text(1, 20, "OTHER", 4)
    dut.host.write_site(text)
    dut.until_online()
    until(lambda: peer.writes(), "once it is accepted in the site file it is told")


def test_a_refused_write_is_rejected_not_confirmed(start_host, peer):
    dut = start_load(start_host, peer)
    peer.refuse_writes[1] = 4
    dut.post(priority=1000, validFor=600, activePower=500)
    until(lambda: command(dut) == "rejected", "the refusal shows")
    assert "failure" in dut.flexibility()["command"]["detail"]


def test_a_device_outside_its_bounds_is_diverging(start_host, peer):
    dut = start_load(start_host, peer)
    dut.post(priority=3000, validFor=600, maxActivePower=1000)
    until(lambda: command(dut) == "confirmed", "the limit is confirmed")
    peer.set_int32(1, 0, 5000)
    until(lambda: command(dut) == "diverging", "it is seen to do as it likes")
    peer.set_int32(1, 0, 900)
    until(lambda: command(dut) == "confirmed", "and to follow again")


def test_below_the_set_point_inside_the_bounds_is_no_fault(start_host, peer):
    dut = start_load(start_host, peer)
    dut.post(priority=1000, validFor=600, activePower=5000)
    peer.set_int32(1, 0, 1000)
    until(lambda: command(dut) == "confirmed" and
          dut.flexibility()["command"]["following"] == "below", "it follows below")


def test_observe_decides_and_never_writes(start_host, peer):
    dut = start_load(start_host, peer, 'mode = "observe"')
    assert dut.post(priority=3000, validFor=600, maxActivePower=10)[0] == 201
    assert dut.effective()["maxActivePower"] == 10
    until(lambda: command(dut) == "observed", "it says that it only observes")
    first = dut.flexibility()["updatedAt"]
    until(lambda: dut.flexibility()["updatedAt"] > first, "another poll has passed")
    assert peer.writes() == []


def test_the_host_starts_with_every_device_absent(start_host, peer):
    text = one(peer, "plain_battery")
    peer.close()
    host = start_host(text)
    dut = host.device("dut")
    until(lambda: dut.flexibility()["connection"] == "offline", "it is offline")
    assert dut.flexibility()["activePower"] is None
    assert dut.post(priority=3000, validFor=600, maxActivePower=0)[0] == 201
    peer.open()
    dut.until_online()
    until(lambda: peer.units[1][10] == 2, "the limit was sent on arrival")


def test_an_unknown_state_of_charge_closes_the_gate(start_host, peer):
    text = one(peer, "plain_battery")
    peer.set(1, 2, 0xFFFF)
    dut = start_host(text).device("dut")
    dut.until_online()
    assert dut.flexibility()["stateOfCharge"] is None
    dut.post(priority=5, validFor=600, minStateOfCharge=10, activePower=-1000)
    assert dut.effective()["activePower"] == 0
    peer.set(1, 2, 50)
    until(lambda: dut.effective()["activePower"] == -1000, "the gate opens when it is known")


def test_a_block_with_a_missing_register_is_split_and_the_rest_is_read(start_host, peer):
    text = one(peer, "plain_battery")
    registers = {address: value for address, value in BATTERY.items() if address != 2}
    peer.unit(1, registers)
    peer.set_int32(1, 0, 77)
    dut = start_host(text).device("dut")
    until(lambda: dut.flexibility()["activePower"] == 77, "the power is read")
    assert dut.flexibility()["stateOfCharge"] is None


def test_a_refreshing_policy_that_breaks_leaves_the_fallback_after_its_lease(start_host, peer):
    policy = """return { api = 1, name = "frail", every = 1,
      parameters = { load = { type = "device" } },
      run = function(snapshot, params, state)
        state.n = (state.n or 0) + 1
        if state.n > 2 then error("it breaks") end
        return { k = { device = params.load, activePower = 2500, lease = 3, reason = "test" } }
      end }"""
    text = one(peer, "plain_load", "fallback = { activePower = 100 }",
               policies='{ key = "p", policy = "frail", priority = 500, load = "dut" }')
    dut = start_host(text, policies={"frail": policy}).device("dut")
    until(lambda: peer.get_int32(1, 11) == 2500, "the proposal is written")
    until(lambda: peer.get_int32(1, 11) == 100, "the fallback follows its lease")
    assert "it breaks" in dut.host.log_text()


def test_a_policy_rests_while_a_device_that_it_names_is_not_in_the_site(start_host, peer):
    policy = """return { api = 1, name = "pair", every = 1,
      parameters = { loads = { type = "devices" } },
      run = function(snapshot, params, state)
        local sum = 0
        for _, key in ipairs(params.loads) do sum = sum + (snapshot.devices[key].activePower or 0) end
        return { k = { device = "dut", activePower = 2500, lease = 3, reason = "test" } }
      end }"""
    peer.unit(1, LOAD)
    peer.unit(2, LOAD)
    dut, other = (device(peer, key, "plain_load", unit, "fallback = { activePower = 100 }")
                  for key, unit in (("dut", 1), ("other", 2)))
    pair = '{ key = "p", policy = "pair", priority = 500, loads = { "dut", "other" } }'
    host = start_host(site(dut, other, policies=pair), policies={"pair": policy})
    until(lambda: peer.get_int32(1, 11) == 2500, "the proposal is written")
    host.write_site(site(dut, policies=pair))
    until(lambda: peer.get_int32(1, 11) == 100, "the fallback follows its lease")
    assert "attempt to index" not in host.log_text()
    assert "there is no device 'other'" in host.log_text()
    host.write_site(site(dut, other, policies=pair))
    until(lambda: peer.get_int32(1, 11) == 2500, "it proposes again")


def test_a_make_that_tells_no_state_shows_it_by_its_power(start_host, peer):
    dut = start_host(one(peer, "plain_battery")).device("dut")
    for watts, state in ((1500, "charging"), (-1500, "discharging"), (3, "ready")):
        peer.set_int32(1, 0, watts)
        until(lambda: dut.flexibility()["activePower"] == watts, f"{watts} W is read")
        assert dut.flexibility()["state"] == state


def shown_elsewhere(start_host, peer, lag):
    """A load whose order cannot be read back; register 30 shows in steps of 100 W what it took."""
    text = (PLAIN_LOAD.replace('"plain_load"', '"plain_shown"').replace("lag = 1", f"lag = {lag}")
            .replace("writable = {", 'readBack = "_shown", writable = {')
            .replace("points = {", """points = {
    { name = "_shown", kind = "holding", address = 30, encoding = "uint16", unit = "W",
      scale = 100, period = "never" },""", 1))
    peer.unit(1, {**LOAD, 30: 0})
    dut = start_host(site(device(peer, driver="plain_shown")), drivers={"plain_shown": text}
                     ).device("dut")
    dut.until_online()
    return dut


def test_a_command_is_confirmed_when_another_register_shows_it(start_host, peer):
    dut = shown_elsewhere(start_host, peer, lag=600)
    assert dut.post(priority=5, validFor=600, activePower=1950)[0] == 201
    until(lambda: len([entry for entry in peer.journal if entry[:3] == ("read", 1, 30)]) > 1,
          "it is looked at again")
    assert command(dut) == "sent"
    peer.set(1, 30, 19)
    until(lambda: command(dut) == "confirmed", "it is confirmed")
    assert peer.writes() == [(11, [0, 1950])], "and was written once"
    looked = peer.journal.count(("read", 1, 30, 1))
    first = dut.flexibility()["updatedAt"]
    until(lambda: dut.flexibility()["updatedAt"] > first, "another poll has passed")
    assert peer.journal.count(("read", 1, 30, 1)) == looked, "and is not looked at any more"
    assert ("read", 1, 11, 2) not in peer.journal


def test_a_command_that_no_register_shows_is_rejected_after_the_lag(start_host, peer):
    dut = shown_elsewhere(start_host, peer, lag=1)
    dut.post(priority=5, validFor=600, activePower=1950)
    until(lambda: command(dut) == "rejected", "it is rejected")
    assert "_shown shows 0" in str(dut.flexibility()["command"])
    assert peer.journal.count(("read", 1, 30, 1)) > 1, "it was given its lag"


def test_a_new_order_does_not_wait_until_the_last_one_is_shown(start_host, peer):
    dut = shown_elsewhere(start_host, peer, lag=600)
    dut.post(priority=5, validFor=600, activePower=1950)
    until(lambda: command(dut) == "sent", "the first is sent")
    dut.post(priority=3000, validFor=600, maxActivePower=0)
    until(lambda: peer.get_int32(1, 11) == 0, "the limit is written")
    until(lambda: command(dut) == "confirmed", "and is shown: register 30 is 0")
