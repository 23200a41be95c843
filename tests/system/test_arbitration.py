"""The cases that must hold (ARBITRATION section 10), each over real sockets: REST in, registers out."""

from harness import until
from sites import one

LONG = 3600


def post(device, priority, **fields):
    status, body, _ = device.post(priority=priority, validFor=LONG, **fields)
    assert status == 201, body
    return body["id"]


def summary(device):
    seen = device.effective()
    return seen["activePower"], seen["minActivePower"], seen["maxActivePower"]


def outcomes(device):
    return {item["priority"]: item["outcome"] for item in device.effective()["constraints"]
            if item.get("priority") is not None and "outcome" in item}


def battery(start_host, peer, extra="", soc=50):
    text = one(peer, "plain_battery", extra)
    peer.set(1, 2, soc)
    device = start_host(text).device("dut")
    device.until_online()
    return device


def load(start_host, peer, extra=""):
    device = start_host(one(peer, "plain_load", extra)).device("dut")
    device.until_online()
    return device


def until_power(peer, watts, address=11):
    until(lambda: peer.get_int32(1, address) == watts, f"register {address} holds {watts} W")


def test_row_1_a_set_point_outside_a_higher_range_is_discarded(start_host, peer):
    device = battery(start_host, peer)
    post(device, 0, activePower=2000)
    winner = post(device, 1, minActivePower=-2000, maxActivePower=0)
    assert summary(device) == (None, -2000, 0)
    loser = [item for item in device.effective()["constraints"] if item.get("priority") == 0][0]
    assert loser["outcome"] == "discarded" and loser["against"] == winner
    until(lambda: (peer.get_int32(1, 13), peer.get_int32(1, 15)) == (0, 2000), "the limits arrive")


def test_row_2_the_higher_of_two_whole_wishes_wins(start_host, peer):
    device = battery(start_host, peer)
    post(device, 3000, activePower=-1500, minActivePower=-2000, maxActivePower=0)
    post(device, 3001, activePower=-2000, minActivePower=-2000, maxActivePower=0)
    assert summary(device)[0] == -2000
    assert outcomes(device) == {3000: "discarded", 3001: "applied"}
    until_power(peer, -2000)


def test_row_3_a_range_is_taken(start_host, peer):
    device = battery(start_host, peer)
    post(device, 10, maxActivePower=0, minActivePower=-2000)
    assert summary(device) == (None, -2000, 0)


def test_row_4_an_inverter_is_limited(start_host, peer):
    device = start_host(one(peer, "plain_inverter")).device("dut")
    device.until_online()
    post(device, 10, minActivePower=-7000)
    assert summary(device) == (None, -7000, 0)
    until(lambda: (peer.get_int32(1, 11), peer.units[1][10]) == (7000, 1), "the limit arrives")


def test_row_5_a_set_point_is_taken(start_host, peer):
    device = load(start_host, peer)
    post(device, 2000, activePower=2000)
    assert summary(device)[0] == 2000
    until_power(peer, 2000)


def test_row_6_a_set_point_above_a_higher_limit_is_discarded(start_host, peer):
    device = load(start_host, peer)
    post(device, 3000, maxActivePower=4200)
    post(device, 2000, activePower=11000)
    assert summary(device) == (None, 0, 4200)
    assert outcomes(device) == {3000: "applied", 2000: "discarded"}


def test_row_7_a_clamped_set_point_meets_the_limit(start_host, peer):
    device = load(start_host, peer)
    post(device, 3000, maxActivePower=4200)
    post(device, 2000, activePower=11000, onConflict="clamp")
    assert summary(device)[0] == 4200
    assert outcomes(device)[2000] == "clamped"
    until_power(peer, 4200)


def test_row_8_a_set_point_within_the_limit_is_applied(start_host, peer):
    device = load(start_host, peer)
    post(device, 3000, maxActivePower=4200)
    post(device, 2000, activePower=3000)
    assert summary(device)[0] == 3000
    assert outcomes(device) == {3000: "applied", 2000: "applied"}
    until_power(peer, 3000)


def test_row_9_the_device_limits_a_set_point(start_host, peer):
    device = load(start_host, peer, "parameters = { ratedPower = 3700 }")
    post(device, 5, activePower=11000)
    assert summary(device)[0] == 3700
    assert device.effective()["limited"] is True
    until_power(peer, 3700)


def test_row_10_zero_is_a_value(start_host, peer):
    device = load(start_host, peer)
    peer.set_int32(1, 11, 4711)
    post(device, 7, activePower=0)
    assert summary(device)[0] == 0
    until_power(peer, 0)


def test_row_11_the_later_of_two_equals_wins(start_host, peer):
    device = battery(start_host, peer)
    post(device, 5, activePower=1000)
    later = post(device, 5, activePower=2000)
    assert summary(device)[0] == 2000
    assert device.effective()["winners"]["activePower"] == later


def test_row_13_a_closed_gate_holds_the_battery(start_host, peer):
    device = battery(start_host, peer, soc=10)
    until(lambda: device.flexibility()["stateOfCharge"] == 10, "state of charge is read")
    post(device, 5, minStateOfCharge=10, activePower=-1000)
    assert summary(device) == (0, 0, 5000)
    until(lambda: peer.units[1][10] == 1 and peer.get_int32(1, 11) == 0, "the battery holds")


def station(start_host, peer, extra="", phases=None, driver="plain_station"):
    text = one(peer, driver, extra)
    if phases:
        peer.set(1, 2, phases)
    device = start_host(text).device("dut")
    device.until_online()
    return device


def test_row_14_a_limit_of_zero_never_becomes_the_least_step(start_host, peer):
    device = station(start_host, peer, "limits = { maxActivePower = 11000 }", phases=1)
    until(lambda: device.flexibility()["allowedRanges"] == [[0, 0], [1380, 11000]],
          "a vehicle on one phase is seen")
    peer.set_int32(1, 11, 6000)
    post(device, 3000, maxActivePower=0)
    assert summary(device) == (None, 0, 0)
    until_power(peer, 0)


def test_row_15_a_limit_below_the_least_step_is_zero(start_host, peer):
    device = station(start_host, peer, phases=3)
    until(lambda: device.flexibility()["allowedRanges"] == [[0, 0], [4140, 11040]],
          "three phases in use are seen")
    peer.set_int32(1, 11, 6000)
    post(device, 3000, maxActivePower=4000)
    post(device, 500, activePower=6000, onConflict="clamp")
    assert summary(device)[0] == 0
    until_power(peer, 0)


def test_row_16_a_set_point_in_a_gap_goes_down_to_the_next_step(start_host, peer):
    device = station(start_host, peer, driver="plain_switching_station")
    until(lambda: device.flexibility()["values"].get("voltageL1") == 230, "the voltage is read")
    assert device.flexibility()["allowedRanges"] == [[0, 0], [1380, 3680], [4140, 11040]]
    peer.forget()
    post(device, 5, activePower=4000)
    assert summary(device)[0] == 3680
    assert device.effective()["limited"] is True
    until_power(peer, 16000)
    assert [entry for entry in peer.writes() if entry[0] in (11, 13)] == [
        (13, [1]), (11, [0, 16000])], "one phase first, then all amperes of it"


def test_a_switching_station_is_on_three_phases_when_one_is_not_enough(start_host, peer):
    device = station(start_host, peer, driver="plain_switching_station")
    until(lambda: device.flexibility()["values"].get("voltageL1") == 230, "the voltage is read")
    post(device, 5, activePower=6900)
    until(lambda: (peer.units[1][13], peer.get_int32(1, 11)) == (3, 10000), "10 A on three phases")
    limit = post(device, 3000, maxActivePower=3000)
    assert summary(device) == (None, 0, 3000)
    until(lambda: (peer.units[1][13], peer.get_int32(1, 11)) == (1, 13043), "3000 W on one phase")
    assert device.delete(limit)[0] == 204
    until(lambda: (peer.units[1][13], peer.get_int32(1, 11)) == (3, 10000), "three phases again")


def test_row_17_a_limit_lifts_nothing_above_the_fallback(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 0 }")
    post(device, 3000, maxActivePower=4200)
    assert summary(device)[0] == 0
    until_power(peer, 0)


def test_row_18_a_shrinking_device_is_followed_without_flapping(start_host, peer):
    device = battery(start_host, peer, "parameters = { maxChargePower = 4300 }")
    post(device, 3000, maxActivePower=4200)
    post(device, 2000, activePower=5000, onConflict="clamp")
    until_power(peer, 4200)
    host = device.host
    host.write_site(one(peer, "plain_battery", "parameters = { maxChargePower = 4100 }"))
    until(lambda: summary(device)[0] == 4100, "4100 W is decided")
    until_power(peer, 4100)


def test_row_19_a_reserve_stays_though_its_set_point_is_discarded(start_host, peer):
    device = battery(start_host, peer, soc=15)
    until(lambda: device.flexibility()["stateOfCharge"] == 15, "state of charge is read")
    post(device, 3000, maxActivePower=2500)
    post(device, 2000, activePower=3000, minStateOfCharge=20)
    assert summary(device) == (None, 0, 2500)


def test_row_20_an_exclusive_one_excludes_all_below(start_host, peer):
    device = load(start_host, peer)
    post(device, 3500, exclusive=True, maxActivePower=11000)
    post(device, 500, activePower=1400)
    assert summary(device) == (None, 0, 11000)
    assert outcomes(device)[500] == "excluded"


def test_row_21_what_must_run_does_and_says_that_the_limit_is_unmet(start_host, peer):
    device = start_host(one(peer, "plain_must_run")).device("dut")
    device.until_online()
    assert device.flexibility()["allowedRanges"] == [[500, 3000]]
    limit = post(device, 3000, maxActivePower=0)
    effective = device.effective()
    assert summary(device) == (500, 500, 500)
    assert effective["unmet"] is True
    assert effective["winners"]["activePower"] == "device"
    assert effective["wantedMinActivePower"] is None and effective["wantedMaxActivePower"] == 0
    assert effective["unmetBy"] == {"minActivePower": None, "maxActivePower": limit}
    until_power(peer, 500)


def test_row_22_a_policys_next_proposal_replaces_its_predecessor(start_host, peer):
    policy = """return { api = 1, name = "twice", every = 1,
      parameters = { load = { type = "device" } },
      run = function(snapshot, params, state)
        state.count = (state.count or 0) + 1
        return { k = { device = params.load, maxActivePower = state.count < 3 and 2000 or 6000,
                       reason = "test" } }
      end }"""
    text = one(peer, "plain_load",
               policies='{ key = "p", policy = "twice", priority = 500, load = "dut" }')
    device = start_host(text, policies={"twice": policy}).device("dut")
    device.until_online()
    until(lambda: summary(device)[2] == 2000, "the first proposal is in force")
    until(lambda: summary(device)[2] == 6000, "the second replaced it")
    assert len(device.constraints()) == 1
    until_power(peer, 6000)
