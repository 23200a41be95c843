"""Scripts that fail again and again, or hold the host: who pays for it, and who does not."""

from harness import until
from scripts import hooked, write
from sites import INVERTER, LOAD, device, one, site

# More than the script's memory cap: its state is spoiled.
BOMB = "local t = 'x' while true do t = t .. t end"


def listing(host, path):
    return host.body("/v1/" + path)


def two(peer, first="hooked_load"):
    """The device under test, and a neighbour with a driver of its own."""
    peer.unit(1, LOAD)
    peer.unit(2, INVERTER)
    return site(device(peer, "dut", first, 1, "fallback = { activePower = 700 }"),
                device(peer, "other", "plain_inverter", 2))


def test_one_failed_call_makes_values_unknown_and_they_come_back(start_host, peer):
    text = hooked("if values.activePower == 13 then error('thirteen') end")
    host = start_host(one(peer, "plain_load").replace("plain_load", "hooked_load"),
                      drivers={"hooked_load": text})
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")
    peer.set_int32(1, 0, 13)
    until(lambda: dut.flexibility()["activePower"] is None, "unknown, not 13 W")
    assert "hooked_load.lua:" in host.log_text() and "thirteen" in host.log_text()
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "known again")
    assert listing(host, "drivers/hooked_load")["status"] == "active"


def test_a_spoiled_script_is_built_anew(start_host, peer):
    text = hooked(f"if values.activePower == 13 then {BOMB} end return {{ activePower = 230 }}")
    host = start_host(two(peer), drivers={"hooked_load": text})
    dut = host.device("dut")
    until(lambda: dut.flexibility()["activePower"] == 230, "the hook works")
    peer.set_int32(1, 0, 13)
    until(lambda: listing(host, "drivers/hooked_load")["rebuilds"] == 1 or
          "built anew" in host.log_text(), "the script is built anew")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 230, "the hook works again")
    assert listing(host, "drivers/hooked_load")["status"] == "active"


def test_a_script_that_fails_for_good_is_quarantined_and_a_changed_file_frees_it(start_host, peer):
    host = start_host(two(peer), drivers={"hooked_load": hooked(BOMB)})
    dut, other = host.device("dut"), host.device("other")
    dut.post(priority=3000, validFor=600, maxActivePower=500)
    dut.post(priority=1000, validFor=600, activePower=400)
    seen = until(lambda: dut.flexibility()["connection"] == "quarantined" and
                 listing(host, "drivers/hooked_load"), "quarantined")
    assert seen["status"] == "quarantined"
    assert "memory" in seen["quarantine"]["why"] and seen["quarantine"]["since"]
    # Its controls are data: the fallback holds within the limit, the set point does not.
    until(lambda: peer.get_int32(1, 11) == 500, "the fallback, limited")
    assert dut.effective()["maxActivePower"] == 500
    assert dut.flexibility()["activePower"] is None, "uncorrected values are not shown"
    assert other.flexibility()["connection"] == "online"
    assert "home/other: offline" not in host.log_text()
    assert host.log_text().count("quarantined until its file changes") == 1
    write(host, "drivers", "hooked_load", hooked("return {}"))
    until(lambda: dut.flexibility()["connection"] == "online", "freed")
    until(lambda: peer.get_int32(1, 11) == 400, "the set point is in force again")
    assert listing(host, "drivers/hooked_load")["status"] == "active"


POLICY = """return {{ api = 1, name = "steady", every = 1,
  parameters = {{ load = {{ type = "device" }} }},
  run = function(snapshot, params, state)
    {body}
    return {{ k = {{ device = params.load, activePower = 1200, reason = "test", lease = 4 }} }}
  end }}"""


def with_policy(peer):
    return one(peer, "plain_load", "fallback = { activePower = 0 }",
               policies='{ key = "p", policy = "steady", priority = 500, load = "dut" }')


def test_a_policy_that_fails_for_good_is_quarantined_and_its_proposals_lapse(start_host, peer):
    body = f"state.n = (state.n or 0) + 1 if state.n > 2 then {BOMB} end"
    host = start_host(with_policy(peer), policies={"steady": POLICY.format(body=body)})
    dut = host.device("dut")
    until(lambda: peer.get_int32(1, 11) == 1200, "the proposal")
    until(lambda: listing(host, "policies/steady")["status"] == "quarantined", "quarantined")
    until(lambda: peer.get_int32(1, 11) == 0, "the proposal has lapsed, the fallback holds")
    assert dut.flexibility()["connection"] == "online"


def test_who_stalls_the_host_is_stopped_and_starts_quarantined(start_host, peer):
    host = start_host(two(peer), drivers={"hooked_load": hooked("return {}")},
                      arguments=["--rehearse-stall", "hooked_load:600"])
    dut = host.device("dut")
    seen = until(lambda: quiet(listing, host, "drivers/hooked_load", status="quarantined"),
                 "stopped, started again and quarantined")
    assert "hooks.values" in seen["quarantine"]["why"]
    host.device("other").until_online()
    until(lambda: dut.flexibility()["connection"] == "quarantined", "its device shows it")
    dut.post(priority=3000, validFor=600, maxActivePower=500)
    until(lambda: peer.get_int32(1, 11) == 500, "its limit holds")
    assert host.body("/ready")["scriptsOff"] is False


def test_three_stalls_within_ten_minutes_leave_scripts_off(start_host, peer):
    peer.unit(1, LOAD)
    drivers = {f"hooked_{i}": hooked("return {}", f"hooked_{i}") for i in range(3)}
    text = site(*(device(peer, f"dut{i}", f"hooked_{i}", 1 + i, "fallback = { activePower = 700 }")
                  for i in range(3)))
    for unit in (2, 3):
        peer.unit(unit, LOAD)
    host = start_host(text, drivers=drivers, arguments=["--rehearse-stall", "*:600"])
    ready = until(lambda: quiet(ready_of, host, scriptsOff=True), "scripts are off")
    assert "hooked_0" in ready["scriptsOffDetail"]
    dut = host.device("dut0")
    dut.post(priority=3000, validFor=600, maxActivePower=500)
    until(lambda: peer.get_int32(1, 11) == 500, "limits are enforced all the same")


def ready_of(host, _):
    return host.body("/ready")


def quiet(look, host, path="", **wanted):
    """What is seen, once it has what is wanted; a host that is just being started again is no error."""
    try:
        seen = look(host, path)
    except OSError:
        return None
    return seen if all(seen.get(key) == value for key, value in wanted.items()) else None
