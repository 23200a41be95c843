"""Commands on the edge: plans broken off in the middle, refreshes under a pace, devices that do not follow.
What is told of a device must be what stands in its registers."""

import pathlib
import struct

import pytest

from harness import until
from modbus_peer import Peer
from sites import one

DRIVERS = pathlib.Path(__file__).parent / "drivers"
WELL_BEFORE_A_READ_BACK_S = 30  # the host looks after its registers every 60 s


class HoldingPeer(Peer):
    """A peer that keeps the answer to writes of some registers until it is told to go on."""

    def __init__(self):
        self.held = set()
        self.waiting = set()
        super().__init__()

    def answer(self, unit, pdu):
        if pdu[0] in (6, 16):
            address, = struct.unpack(">H", pdu[1:3])
            with self.lock:
                while address in self.held:
                    self.waiting.add(address)
                    self.changed.wait()
                self.waiting.discard(address)
        return super().answer(unit, pdu)

    def hold(self, *addresses):
        with self.lock:
            self.held.update(addresses)

    def go_on(self):
        with self.lock:
            self.held.clear()
            self.changed.notify_all()


@pytest.fixture
def holding():
    peer = HoldingPeer()
    yield peer
    peer.go_on()
    peer.close()


def plain(name, *changes):
    text = (DRIVERS / f"{name}.lua").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def controls(name, more, *changes):
    """A plain driver with more keys in its controls."""
    return {name: plain(name, ("lag = 1,", more), *changes)}


PATIENT = ("timeout = 0.5", "timeout = 30")


def command(device):
    return device.flexibility()["command"]["state"]


def start(start_host, peer, driver, drivers, extra=""):
    device = start_host(one(peer, driver, extra), drivers=drivers).device("dut")
    device.until_online()
    return device


def test_a_plan_that_was_broken_off_is_not_taken_for_the_one_before(start_host, holding):
    device = start(start_host, holding, "plain_battery",
                   {"plain_battery": plain("plain_battery", PATIENT)})
    device.post(priority=5, validFor=600, activePower=0)
    until(lambda: command(device) == "confirmed", "0 W is confirmed")
    holding.hold(10)
    _, body, _ = device.post(priority=9, validFor=600, activePower=5000)
    until(lambda: 10 in holding.waiting, "half of the plan for 5000 W is written")
    assert holding.get_int32(1, 11) == 5000
    assert device.delete(body["id"])[0] == 204
    holding.go_on()
    until(lambda: holding.get_int32(1, 11) == 0, "0 W is written again",
          WELL_BEFORE_A_READ_BACK_S)
    until(lambda: command(device) == "confirmed", "and confirmed", WELL_BEFORE_A_READ_BACK_S)


def test_what_was_wanted_for_a_moment_leaves_the_state_as_it_was(start_host, peer):
    device = start(start_host, peer, "plain_load",
                   controls("plain_load", "lag = 1, leastChange = 1500,"))
    device.post(priority=5, validFor=600, activePower=4000)
    until(lambda: command(device) == "confirmed", "4000 W is confirmed")
    _, body, _ = device.post(priority=9, validFor=600, activePower=5000)
    until(lambda: command(device) == "pending", "the small raise waits")
    device.delete(body["id"])
    until(lambda: command(device) == "confirmed", "4000 W has been confirmed all the time",
          WELL_BEFORE_A_READ_BACK_S)


def writes_of(peer, address):
    return [values for at, values in peer.writes() if at == address]


def test_a_watchdog_is_refreshed_while_a_raise_waits_for_its_pace(start_host, peer):
    device = start(start_host, peer, "plain_load",
                   controls("plain_load", "lag = 1, refresh = 1, leastChange = 500,"))
    device.post(priority=5, validFor=600, activePower=1000)
    until(lambda: command(device) == "confirmed", "1000 W is confirmed")
    device.post(priority=9, validFor=600, activePower=1200)
    until(lambda: command(device) == "pending", "the small raise waits")
    peer.forget()
    until(lambda: len(writes_of(peer, 11)) >= 3, "the power is written again and again", 20)
    assert all(values == [0, 1000] for values in writes_of(peer, 11))
    assert command(device) == "pending"


def test_refreshing_does_not_hold_a_raise_back_for_ever(start_host, peer):
    device = start(start_host, peer, "plain_load",
                   controls("plain_load", "lag = 1, refresh = 1, minInterval = 3,"))
    device.post(priority=5, validFor=600, activePower=1000)
    until(lambda: command(device) == "confirmed", "1000 W is confirmed")
    device.post(priority=9, validFor=600, activePower=2000)
    until(lambda: peer.get_int32(1, 11) == 2000, "the raise comes after its interval", 20)


def test_a_refreshed_device_that_does_not_follow_is_diverging(start_host, peer):
    device = start(start_host, peer, "plain_load", controls("plain_load", "lag = 3, refresh = 1,"))
    device.post(priority=3000, validFor=600, maxActivePower=1000)
    until(lambda: command(device) == "confirmed", "the limit is confirmed")
    peer.set_int32(1, 0, 5000)
    until(lambda: command(device) == "diverging", "it is seen to do as it likes", 20)


def test_a_refresh_changes_no_state(start_host, peer):
    device = start(start_host, peer, "plain_load", controls("plain_load", "lag = 3, refresh = 0.5,"))
    device.post(priority=3000, validFor=600, maxActivePower=1000)
    until(lambda: command(device) == "confirmed", "the limit is confirmed")
    since = device.flexibility()["command"]["since"]
    peer.forget()
    until(lambda: len(writes_of(peer, 11)) >= 3, "it is refreshed", 20)
    assert device.flexibility()["command"]["since"] == since


HOOK = """  hooks = { command = function(dev, decision)
    if decision.setPoint == 3000 then
      failures = failures + 1
      if failures == 1 then error("not yet") end
    end
  end },
}
"""


def test_a_command_that_could_not_be_made_is_tried_again(start_host, peer):
    text = plain("plain_load")
    text = ("local failures = 0\n" + text[:text.rindex("}")] + HOOK)
    device = start(start_host, peer, "plain_load", {"plain_load": text})
    device.post(priority=5, validFor=600, activePower=1000)
    until(lambda: command(device) == "confirmed", "1000 W is confirmed")
    device.post(priority=9, validFor=600, activePower=3000)
    until(lambda: peer.get_int32(1, 11) == 3000, "the hook's second try is sent",
          WELL_BEFORE_A_READ_BACK_S)


def test_a_refused_plan_is_sent_again_when_the_decision_changes(start_host, peer):
    device = start(start_host, peer, "plain_load", {})
    device.post(priority=5, validFor=600, activePower=4000)
    until(lambda: command(device) == "confirmed", "4000 W is confirmed")
    peer.refuse_writes[1] = 4
    _, body, _ = device.post(priority=9, validFor=600, activePower=5000)
    until(lambda: command(device) == "rejected", "5000 W is refused")
    peer.refuse_writes.clear()
    device.post(priority=3000, validFor=600, maxActivePower=100)
    until(lambda: peer.get_int32(1, 11) == 100, "the limit does not wait for the retry", 20)


def test_a_permanent_limit_is_written_to_a_battery_that_nobody_wants_anything_of(start_host, peer):
    """And stands again after a constraint has come and gone: the battery is not simply released."""
    device = start_host(one(peer, extra="limits = { maxActivePower = 2000 }")).device("dut")
    limited = [(13, 2000), (10, 2)]
    until(lambda: [(13, peer.get_int32(1, 13)), (10, peer.units[1][10])] == limited, "the limit is written")
    _, constraint, _ = device.post(priority=3000, validFor=600, maxActivePower=500)
    until(lambda: peer.get_int32(1, 13) == 500, "the narrower one is written")
    device.delete(constraint["id"])
    until(lambda: [(13, peer.get_int32(1, 13)), (10, peer.units[1][10])] == limited, "the first is back")
    assert [0] not in [values for address, values in peer.writes() if address == 10], "released"
