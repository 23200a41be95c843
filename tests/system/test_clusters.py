"""Limits of a whole cluster: over REST, split over devices, down to their registers. Figures are worked by
hand; the cars' voltage is 230 V and their limit is written in mA, rounded toward 0."""

import datetime

import homes
from harness import until
from sites import BATTERY, INVERTER, STATION, device

CLUSTER = "/v1/clusters/home"
METER = {address: 0 for address in range(8)}
CARS = 'parameters = { phases = 1 }'  # 1380 W (6 A) to 3680 W (16 A)


def whole(*clusters):
    return ('return { http = { listen = "127.0.0.1:@HTTP@" }, store = { directory = "state" },\n'
            f'  clusters = {{ {", ".join(clusters)} }} }}\n')


def cluster(*devices, key="home", extra=""):
    return f'{{ key = "{key}", {extra} devices = {{ {"".join(devices)} }} }}'


def car(peer, key, unit, extra=""):
    peer.unit(unit, STATION)
    return device(peer, key, "plain_station", unit, f"{CARS}, {extra}")


def meter(peer, unit=9, watts=0):
    peer.unit(unit, METER)
    show(peer, watts, unit)
    return device(peer, "grid", "plain_meter", unit, 'role = "grid"')


def show(peer, watts, unit=9):
    """What the meter shows, on each phase a third; `watts` may be the three phases."""
    phases = watts if isinstance(watts, list) else [watts // 3] * 3
    for i, power in enumerate([sum(phases), *phases]):
        peer.set_int32(unit, 2 * i, power)


def milliamperes(peer, *units):
    return [peer.get_int32(unit, 11) for unit in units]


def put(host, **fields):
    return host.request("POST", CLUSTER + "/constraints", {"priority": 3000, "validFor": 600, **fields})


def effective(host, path=CLUSTER):
    return host.body(path + "/effective")


def shares(host):
    return {share["key"]: share["maxActivePower"] for share in effective(host)["shares"]}


def online(host, *keys):
    for key in keys:
        host.device(key).until_online()


def test_2700_w_for_two_cars_and_what_becomes_of_it(start_host, peer):
    """2700 W are 11739 mA at 230 V; two cars need 2760 W."""
    host = start_host(whole(cluster(car(peer, "left", 1), car(peer, "right", 2))))
    online(host, "left", "right")
    until(lambda: effective(host)["shares"] == [], "nothing is limited")

    status, body, headers = put(host, scope="controllable", maxActivePower=2700, reason="grid operator")
    assert status == 201 and headers["Location"].startswith("/v1/clusters/")
    assert body["scope"] == "controllable" and body["outcome"] == "applied" and not body["noEffect"]
    assert body["decision"]["limits"]["controllable"]["maxActivePower"] == 2700
    assert body["decision"]["limits"]["controllable"]["winners"]["maxActivePower"] == body["id"]
    assert sorted(share["maxActivePower"] for share in body["decision"]["shares"]) == [0, 2700]
    until(lambda: sorted(milliamperes(peer, 1, 2)) == [0, 11739], "one charges with all of it")

    charging, waiting = ((1, "left"), (2, "right")) if milliamperes(peer, 1) == [11739] else (
        (2, "right"), (1, "left"))
    why = host.device(waiting[1]).effective()
    assert why["allowedRanges"] == [[0, 0]] and why["share"]["maxActivePower"] == 0
    assert "cannot run below 1380 W and waits" in why["share"]["explanation"]
    why = until(lambda: host.device(charging[1]).effective()["share"]["maxActivePower"] == 2700 and
                host.device(charging[1]).effective(), "the other one has confirmed its 0 W")
    assert "2700 W of the 2700 W of cluster home (test, priority 3000" in why["share"]["explanation"]
    assert why["maxActivePower"] == 2700 and why["winners"]["maxActivePower"] == "device"

    # The one that charges is to stop: the other one follows when that is confirmed.
    stop = host.device(charging[1]).post(priority=1000, validFor=600, maxActivePower=0)[1]
    until(lambda: milliamperes(peer, waiting[0], charging[0]) == [11739, 0], "the other one charges")
    order = [(unit, values[1]) for kind, unit, address, values in peer.journal
             if kind == "write" and address == 11]
    assert order.index((waiting[0], 11739)) > max(
        i for i, entry in enumerate(order) if entry == (charging[0], 0))
    # It wants again; who charges goes on.
    host.device(charging[1]).delete(stop["id"])
    until(lambda: "waits" in host.device(charging[1]).effective()["share"]["explanation"], "it waits")
    assert milliamperes(peer, waiting[0], charging[0]) == [11739, 0]

    # The one that charges is silent: it counts with the 2699 W that its 11739 mA are; the limit rises to
    # 5000 W: 2301 W are left for the other one, 10004 mA.
    peer.silent.add(waiting[0])
    until(lambda: host.device(waiting[1]).flexibility()["connection"] == "offline", "it is offline")
    assert put(host, scope="controllable", maxActivePower=5000, priority=3001)[0] == 201
    assert effective(host)["limits"]["controllable"]["maxActivePower"] == 2700, "both apply"
    host.request("DELETE", f"{CLUSTER}/constraints/{body['id']}")
    until(lambda: milliamperes(peer, charging[0]) == [10004], "the other one has what is left")
    until(lambda: [share for share in effective(host)["shares"]
                   if "does not answer and counts with 2699 W" in share["explanation"]], "it is said")


def test_what_is_refused_and_what_is_shown(start_host, peer):
    host = start_host(whole(cluster(car(peer, "left", 1), extra="maxUncontrolledPower = 1000,"),
                            cluster(key="other", extra="")))
    online(host, "left")
    status, problem, _ = put(host, activePower=2000, minStateOfCharge=20)
    assert status == 422
    assert {error["pointer"] for error in problem["errors"]} == {"/activePower", "/minStateOfCharge"}
    assert put(host, maxCurrentPhases=[16, 16])[0] == 422
    assert put(host, scope="everything", maxActivePower=1)[0] == 422
    status, problem, _ = host.request("POST", "/v1/clusters/other/constraints",
                                      {"priority": 1, "validFor": 9, "maxActivePower": 0})
    assert status == 422 and "controllable" in problem["errors"][0]["detail"]
    assert host.device("left").post(priority=1, validFor=9, maxActivePower=0, scope="connection")[0] == 422

    # Without a meter 1000 W are taken to flow: 3000 W leave 2000 W, 8695 mA.
    status, body, _ = put(host, maxActivePower=3000)
    assert status == 201 and body["scope"] == "connection"
    until(lambda: milliamperes(peer, 1) == [8695], "the car is limited")
    assert effective(host)["connection"]["uncontrolledBy"] == "maxUncontrolledPower"
    assert effective(host)["connection"]["uncontrolledPower"] == 1000
    # Renewing, looking at it, taking it away.
    path = f"{CLUSTER}/constraints/{body['id']}"
    assert host.request("PUT", path, {"priority": 3000, "validFor": 600, "maxActivePower": 4000})[0] == 200
    until(lambda: milliamperes(peer, 1) == [13043], "3000 W")
    assert host.body(path)["maxActivePower"] == 4000
    assert [item["id"] for item in host.body(CLUSTER + "/constraints")["items"]] == [body["id"]]
    # A limit that the uncontrolled load alone exceeds is alarmed, and shown where people look.
    assert put(host, maxActivePower=400, priority=3500)[0] == 201
    until(lambda: effective(host)["unmet"], "it cannot be kept")
    assert "exceeded by 600 W" in effective(host)["alarm"]
    assert host.body("/ready")["limitsKept"] is False
    assert host.body("/ready")["limitsUnmet"][0]["cluster"] == "home"
    assert "a limit cannot be kept" in host.log_text()
    # After a power cut it is in force before anything else.
    until(lambda: milliamperes(peer, 1) == [0], "the car stands")
    host.kill()
    peer.set_int32(1, 11, 16000)
    host.start()
    until(lambda: milliamperes(peer, 1) == [0], "the limit is applied again")
    assert len(host.body(CLUSTER + "/constraints")["items"]) == 2
    host.request("DELETE", path)
    for item in host.body(CLUSTER + "/constraints")["items"]:
        assert host.request("DELETE", f"{CLUSTER}/constraints/{item['id']}")[0] == 204
    until(lambda: milliamperes(peer, 1) == [16000], "nothing limits it any more")
    assert effective(host)["shares"] == [] and host.body("/ready")["limitsKept"] is True


def test_a_fuse_on_each_phase_and_the_meter_falls_silent(start_host, peer):
    """16 A are 3680 W. One car on L1, one on L2; the house draws 1000 W on L1 and 500 W on L2."""
    host = start_host(whole(cluster(
        meter(peer), car(peer, "left", 1), car(peer, "right", 2, 'phaseRotation = "STR"'),
        extra="limits = { maxCurrent = 16 }, maxUncontrolledPower = 2000,")))
    show(peer, [1000, 500, 0])
    online(host, "left", "right", "grid")
    until(lambda: shares(host) == {"left": 2680, "right": 3180}, "each has what its phase leaves")
    until(lambda: milliamperes(peer, 1, 2) == [11652, 13826], "they are told")
    assert "16 A on L1 of cluster home (site file)" in host.device("left").effective()["share"]["explanation"]
    # A rise of the load is answered at once.
    show(peer, [2000, 500, 0])
    until(lambda: shares(host) == {"left": 1680, "right": 3180}, "the load has risen")
    # §14a EnWG: 2800 W for the controllable devices, whatever the house draws: 1400 W each.
    body = put(host, scope="controllable", maxActivePower=2800)[1]
    until(lambda: shares(host) == {"left": 1400, "right": 1400}, "both keep their step")
    until(lambda: milliamperes(peer, 1, 2) == [6086, 6086], "they are told")
    host.request("DELETE", f"{CLUSTER}/constraints/{body['id']}")
    until(lambda: shares(host) == {"left": 1680, "right": 3180}, "the fuse alone")
    # The meter is silent: 2000 W may flow on each phase.
    peer.silent.add(9)
    until(lambda: shares(host) == {"left": 1680, "right": 1680}, "what was declared is taken to flow")
    assert effective(host)["connection"]["activePower"] is None
    assert effective(host)["connection"]["uncontrolledBy"] == "maxUncontrolledPower"
    peer.silent.discard(9)
    until(lambda: shares(host) == {"left": 1680, "right": 3180}, "it is back")


def test_clusters_inside_each_other(start_host, peer):
    """The house may take 6000 W with all in it, the garage 3000 W: 1500 W each for its two cars, and
    3000 W for the one outside. A limit of 4500 W on the house: 1500 W each."""
    host = start_host(whole(
        cluster(car(peer, "outside", 3),
                extra='limits = { maxActivePower = 6000, scope = "controllable" },'),
        cluster(car(peer, "left", 1), car(peer, "right", 2), key="garage",
                extra='parent = "home", limits = { maxActivePower = 3000, scope = "controllable" },')))
    for key, where in (("outside", "home"), ("left", "garage"), ("right", "garage")):
        host.device(key, where).until_online()
    house = host.body("/v1/clusters/home")
    assert host.body("/v1/clusters/garage")["parentId"] == house["id"]
    until(lambda: milliamperes(peer, 1, 2, 3) == [6521, 6521, 13043], "every level holds")
    assert put(host, scope="controllable", maxActivePower=4500)[0] == 201
    until(lambda: milliamperes(peer, 1, 2, 3) == [6521, 6521, 6521], "the upper one too")
    why = host.device("left", "garage").effective()["share"]["explanation"]
    assert "cluster" in why
    assert [share["key"] for share in effective(host, "/v1/clusters/garage")["shares"]] == ["left", "right"]
    until(lambda: shares(host) == {"outside": 1500, "left": 1500, "right": 1500}, "with all below")


def test_what_a_device_holds_outlives_its_entry_and_a_share_its_parent_not(start_host, peer):
    """6000 W for two cars: 3000 W each, 13043 mA. The driver of one is gone and its new entry says that
    it falls back to 1380 W: it may still do what it was told, and counts with the 3680 W that it was seen
    to be able to do. 2320 W are left for the other one, 10086 mA; after a restart too. The other one has
    all of its 16 A as soon as its cluster stands alone."""
    left, right = car(peer, "left", 1), car(peer, "right", 2)
    gone = device(peer, "right", "gone", 2, "failsafe = { maxActivePower = 1380 }")
    house = cluster(car(peer, "outside", 3, "fallback = { activePower = 0 }"),
                    extra='limits = { maxActivePower = 6000, scope = "controllable" },')
    inside = 'parent = "home",'
    host = start_host(whole(house, cluster(left, right, key="garage", extra=inside)))
    until(lambda: milliamperes(peer, 1, 2) == [13043, 13043], "equal parts")
    host.write_site(whole(house, cluster(left, gone, key="garage", extra=inside)))
    until(lambda: milliamperes(peer, 1) == [10086], "the one without a driver counts")
    host.stop()
    peer.set_int32(1, 11, 0)
    host.start()
    until(lambda: milliamperes(peer, 1) == [10086], "after a restart too")
    assert [share["maxActivePower"] for share in effective(host)["shares"]
            if "counts with 3680 W" in share["explanation"]], "it is said"
    host.write_site(whole(house, cluster(left, gone, key="garage")))
    until(lambda: milliamperes(peer, 1) == [16000], "nobody limits it any more")
    assert host.device("left", "garage").effective()["share"] is None


def test_against_export_the_battery_rises_before_the_roof_is_curtailed(start_host, peer):
    """The roof makes 8000 W, the house takes 2000 W, 3000 W may go out: 3000 W are too many. The battery
    may take 5000 W: it is told 3000 W. The roof may make 5000 W until the battery is seen to take it."""
    peer.unit(1, BATTERY)
    peer.unit(2, INVERTER)
    peer.set_int32(2, 0, -8000)
    host = start_host(whole(cluster(
        meter(peer), device(peer, "battery", "plain_battery", 1), device(peer, "roof", "plain_inverter", 2))))
    show(peer, -6000)
    online(host, "battery", "roof", "grid")
    until(lambda: effective(host)["connection"]["activePower"] == -6000, "the meter shows without a limit")
    assert put(host, minActivePower=-3000, reason="feed-in")[0] == 201
    until(lambda: peer.get_int32(2, 11) == 5000, "the roof is curtailed")
    peer.set_int32(2, 0, -5000)
    show(peer, -3000)
    until(lambda: peer.get_int32(1, 11) == 3000, "the battery is told to take the rest")
    assert "against too much export" in host.device("battery").effective()["share"]["explanation"]
    # It does, and the roof is released as far as that: 3000 + 2000 + 3000 W.
    peer.set_int32(1, 0, 3000)
    show(peer, 0)
    until(lambda: peer.get_int32(2, 11) == 8000, "the roof is released")
    peer.set_int32(2, 0, -8000)
    show(peer, -3000)
    until(lambda: effective(host)["connection"]["activePower"] == -3000, "the meter shows it")
    assert not effective(host)["unmet"]


def test_a_boundary_changes_the_limit(start_host, peer):
    host = start_host(whole(cluster(car(peer, "left", 1))))
    online(host, "left")
    start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    ends = start + datetime.timedelta(seconds=2)
    fields = {"validAt": start.isoformat(), "invalidAt": ends.isoformat(), "priority": 3000,
              "scope": "controllable", "maxActivePower": 2300}
    assert host.request("POST", CLUSTER + "/constraints", fields)[0] == 201
    assert effective(host)["nextChangeAt"] is not None
    until(lambda: milliamperes(peer, 1) == [10000], "it begins")
    until(lambda: milliamperes(peer, 1) == [16000], "it ends")
    assert host.body(CLUSTER + "/constraints")["items"] == []


def test_a_home_against_export(start_host, start_simulator):
    """The shipped drivers on the simulated home: 8000 W of sun, 500 W of house, at most 3000 W out. The
    battery takes its 2000 W, the car on one phase what is left, 2500 W; the roof is released again."""
    simulator = start_simulator(homes.home(sun=8000, load=500, wired=1, phases=1))
    host = start_host(homes.site(simulator.ports, wallbox="fallback = { activePower = 0 }, phases = 1"))
    online(host, "grid", "battery", "roof", "wallbox")
    until(lambda: simulator.state()["pv"] < -7900, "the sun shines")
    assert put(host, minActivePower=-3000)[0] == 201
    until(lambda: simulator.state()["grid"] > -3050, "not more than 3 kW go out")
    until(lambda: simulator.state()["battery"] > 1950, "the battery charges with all it can")
    until(lambda: simulator.state()["charging"] > 1380, "the car charges")
    until(lambda: simulator.state()["pv"] < -7000, "the roof is released as far as they take it")
    until(lambda: -3100 < simulator.state()["grid"], "and the limit holds")


def test_section_14a_with_the_house_running(start_host, start_simulator):
    """The house draws 3000 W; the battery wants nothing, the car all: 4200 W are 6.08 A on three phases.
    When the limit ends the car has its 16 A again."""
    simulator = start_simulator(homes.home(sun=0, load=3000))
    host = start_host(homes.site(simulator.ports))
    online(host, "grid", "battery", "roof", "wallbox")
    host.device("wallbox").post(priority=1000, validFor=600, maxActivePower=11040)
    until(lambda: simulator.state()["charging"] > 10000, "the car charges")
    body = put(host, scope="controllable", maxActivePower=4200, reason="grid operator")[1]
    until(lambda: 4000 < simulator.state()["charging"] <= 4250, "it is dimmed, not stopped")
    assert simulator.state()["grid"] > 6000
    assert host.device("battery").effective()["share"]["maxActivePower"] == 0
    host.request("DELETE", f"{CLUSTER}/constraints/{body['id']}")
    until(lambda: simulator.state()["charging"] > 10000, "it charges with all again")
