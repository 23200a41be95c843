"""Files that change while the host runs: drivers, policies, the site itself."""

import pathlib

from harness import until
from sites import INVERTER, LOAD, device, one, site

DRIVERS = pathlib.Path(__file__).parent / "drivers"


def write(host, kind, name, text):
    path = host.folder / kind / f"{name}.lua"
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.rename(path)


def plain(name):
    return (DRIVERS / f"{name}.lua").read_text()


def test_a_changed_scale_changes_the_value(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")
    text = plain("plain_load").replace('encoding = "int32"', 'encoding = "int32", scale = 2', 1)
    write(host, "drivers", "plain_load", text)
    until(lambda: dut.flexibility()["activePower"] == 2000, "2000 W by the new scale")


def test_nonsense_changes_nothing_and_says_where(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")
    write(host, "drivers", "plain_load", "return {\n  api = 1,\n  points = { {,\n")
    listing = until(lambda: host.body("/v1/drivers/plain_load")["errors"] and
                    host.body("/v1/drivers/plain_load"), "the mistake is told")
    assert "plain_load.lua:3" in listing["errors"][0]["where"] + listing["errors"][0]["text"]
    assert "plain_load.lua:3" in host.log_text()
    first = dut.flexibility()["updatedAt"]
    peer.set_int32(1, 0, 1500)
    until(lambda: dut.flexibility()["activePower"] == 1500, "the old generation goes on")
    assert dut.flexibility()["updatedAt"] > first and dut.flexibility()["connection"] == "online"


def test_a_wrong_driver_tells_every_mistake(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    text = plain("plain_load").replace("int32", "int31").replace('"heatPump"', '"toaster"')
    write(host, "drivers", "plain_load", text)
    errors = until(lambda: host.body("/v1/drivers/plain_load")["errors"], "mistakes are told")
    places = " ".join(error["where"] for error in errors)
    assert "type" in places and "points[1].encoding" in places


def test_the_limit_holds_over_a_driver_reload(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    dut.post(priority=3000, validFor=600, maxActivePower=0)
    dut.post(priority=1000, validFor=600, activePower=8000, onConflict="clamp")
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    for version in range(2, 6):
        write(host, "drivers", "plain_load",
              plain("plain_load").replace('version = "1"', f'version = "{version}"'))
        until(lambda: host.body("/v1/drivers/plain_load")["version"] == str(version), "reloaded")
        until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "confirmed again")
    assert all(values == [0, 0] for address, values in peer.writes() if address == 11)


def test_the_limit_holds_over_a_restart_with_a_broken_driver(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    assert dut.post(priority=3000, validFor=600, maxActivePower=1500)[0] == 201
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    host.kill()
    write(host, "drivers", "plain_load", "return {\n  api = 1,\n  points = { {,\n")
    peer.set_int32(1, 11, 9999)
    host.start()
    until(lambda: 0 <= peer.get_int32(1, 11) <= 1500, "the driver that was taken before writes the limit")
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "and reads it back")
    listing = host.body("/v1/drivers/plain_load")
    assert listing["status"] == "active" and "plain_load.lua:3" in str(listing["errors"])
    assert "is the text that was taken before the restart" in host.log_text()
    write(host, "drivers", "plain_load", plain("plain_load").replace('version = "1"', 'version = "2"'))
    until(lambda: host.body("/v1/drivers/plain_load")["version"] == "2", "mended, it is taken")
    assert host.body("/v1/drivers/plain_load")["errors"] == []


def test_a_new_driver_file_takes_up_its_device(start_host, peer):
    peer.unit(1, INVERTER)
    host = start_host(site(device(peer, driver="brand_new")))
    dut = host.device("dut")
    until(lambda: dut.flexibility()["connection"] == "notConfigured", "its driver is missing")
    text = plain("plain_inverter").replace('"plain_inverter"', '"brand_new"')
    write(host, "drivers", "brand_new", text)
    dut.until_online()
    assert host.body(dut.path)["type"] == "inverter"


def test_other_devices_do_not_notice(start_host, peer):
    peer.unit(1, LOAD)
    peer.unit(2, INVERTER)
    host = start_host(site(device(peer, "a", "plain_load", 1),
                           device(peer, "b", "plain_inverter", 2)))
    host.device("a").until_online()
    host.device("b").until_online()
    reads_of_b = lambda: len([entry for entry in peer.journal if entry[1] == 2])  # noqa: E731
    before = until(reads_of_b, "b is read")
    write(host, "drivers", "plain_load", plain("plain_load").replace('"1"', '"2"', 1))
    until(lambda: host.body("/v1/drivers/plain_load")["version"] == "2", "reloaded")
    until(lambda: reads_of_b() > before, "b is read again")
    assert "home/b: offline" not in host.log_text()
    assert host.device("b").flexibility()["connection"] == "online"


def test_a_device_added_to_the_site_starts_and_a_removed_one_stops(start_host, peer):
    peer.unit(2, INVERTER)
    host = start_host(one(peer, "plain_load"))
    a = host.device("dut")
    a.until_online()
    a.post(priority=3000, validFor=600, maxActivePower=55)
    device_id = host.body(a.path)["id"]
    host.write_site(site(device(peer, "dut", "plain_load", 1),
                         device(peer, "b", "plain_inverter", 2)))
    until(lambda: host.get("/v1/clusters/home/devices/b")[0] == 200, "the new one is there")
    host.device("b").until_online()
    assert host.log_text().count("home/dut: online") == 1, "the old one was left alone"
    host.write_site(site(device(peer, "b", "plain_inverter", 2)))
    until(lambda: host.get(a.path)[0] == 404, "the removed one is gone")
    host.write_site(one(peer, "plain_load"))
    until(lambda: host.get(a.path)[0] == 200, "it is back")
    assert host.body(a.path)["id"] == device_id
    assert a.effective()["maxActivePower"] == 55, "its constraint has waited for it"


def test_a_broken_site_file_changes_nothing_and_is_told(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    host.write_site("return { store = {}, clusters = 5 }")
    problems = until(lambda: host.body("/ready").get("siteProblems"), "the mistakes are told")
    assert "clusters" in str(problems)
    assert dut.flexibility()["connection"] == "online"
    host.write_site(one(peer, "plain_load"))
    until(lambda: not host.body("/ready").get("siteProblems"), "the mistakes are gone")


def test_a_policys_proposal_holds_over_its_reload(start_host, peer):
    def policy(watts):
        return f"""return {{ api = 1, name = "steady", every = 1,
          parameters = {{ load = {{ type = "device" }} }},
          run = function(snapshot, params, state)
            return {{ k = {{ device = params.load, activePower = {watts}, reason = "test" }} }}
          end }}"""
    text = one(peer, "plain_load", "fallback = { activePower = 0 }",
               policies='{ key = "p", policy = "steady", priority = 500, load = "dut" }')
    host = start_host(text, policies={"steady": policy(1000)})
    until(lambda: peer.get_int32(1, 11) == 1000, "the first proposal")
    peer.forget()
    write(host, "policies", "steady", policy(1200))
    until(lambda: peer.get_int32(1, 11) == 1200, "the new policy's proposal")
    assert [values for address, values in peer.writes()] == [[0, 1200]], "no gap in between"
    write(host, "policies", "steady", "return 5")
    until(lambda: host.body("/v1/policies/steady")["errors"], "the broken file is told")
    assert host.device("dut").effective()["activePower"] == 1200
