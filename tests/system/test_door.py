"""The door over REST: everything that a constraint may be refused for, with the place of the mistake, and
who makes way on a full device. All on one host with a device of each kind."""

import datetime
import uuid

from harness import until
from sites import BATTERY, INVERTER, LOAD, device, site

METER = """
return {
  api = 1, name = "plain_meter", version = "1", manufacturer = "Test", models = { "plain" },
  type = "meter", link = { kinds = { "tcp" }, timeout = 0.5 },
  points = { { name = "activePower", kind = "holding", address = 0, encoding = "int32", unit = "W",
               period = 0.2 } },
}
"""


def at(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def start(start_host, peer, head=""):
    for unit, registers in ((1, BATTERY), (2, LOAD), (3, INVERTER), (4, LOAD)):
        peer.unit(unit, registers)
    text = site(device(peer, "battery", "plain_battery", 1), device(peer, "load", "plain_load", 2),
                device(peer, "roof", "plain_inverter", 3), device(peer, "grid", "plain_meter", 4))
    host = start_host(text, drivers={"plain_meter": METER})
    for key in ("battery", "load", "roof", "grid"):
        host.device(key).until_online()
    return host, text


BASE = {"priority": 5, "validFor": 60}
REFUSALS = [
    # device, fields (None takes one out), status, pointer, words
    ("load", {"minActivePower": 5, "maxActivePower": 1}, 422, "/minActivePower", "above"),
    ("battery", {"activePower": 5, "maxActivePower": 1}, 422, "/activePower", "own range"),
    ("battery", {"activePower": -5, "minActivePower": 1}, 422, "/activePower", "own range"),
    ("load", {"activePower": -5}, 422, "/activePower", "consumption is positive"),
    ("load", {"maxActivePower": -1}, 422, "/maxActivePower", "consumption is positive"),
    ("roof", {"activePower": 5}, 422, "/activePower", "production is negative"),
    ("roof", {"minActivePower": 5}, 422, "/minActivePower", "production is negative"),
    ("grid", {"maxActivePower": 5}, 422, "", "cluster"),
    ("load", {"minStateOfCharge": 20}, 422, "/minStateOfCharge", "no state of charge"),
    ("battery", {"minStateOfCharge": 101}, 422, "/minStateOfCharge", "100"),
    ("battery", {"minStateOfCharge": 60, "maxStateOfCharge": 50}, 422, "/minStateOfCharge", "above"),
    ("load", {}, 422, "", "says nothing"),
    ("load", {"activePower": None}, 422, "", "says nothing"),
    ("load", {"activePower": 1, "validFor": None}, 422, "/invalidAt", "when it ends"),
    ("load", {"activePower": 1, "invalidAt": at(60)}, 422, "/validFor", "one of them"),
    ("load", {"activePower": 1, "validFor": 26 * 3600}, 422, "/validFor", "25 h"),
    ("load", {"activePower": 1, "validFor": None, "invalidAt": at(26 * 3600)}, 422,
     "/invalidAt", "25 h"),
    ("load", {"activePower": 1, "validFor": None, "invalidAt": at(-60)}, 422, "/invalidAt", "past"),
    ("load", {"activePower": 1, "validFor": 0}, 422, "/validFor", "0.001"),
    ("load", {"activePower": 1, "validFor": None, "validAt": at(90), "invalidAt": at(60)}, 422,
     "/validAt", "before"),
    ("load", {"activePower": 1, "validAt": "tomorrow"}, 422, "/validAt", "moment"),
    ("load", {"activePower": 1, "priority": -1}, 422, "/priority", "0"),
    ("load", {"activePower": 1, "priority": 2 ** 31}, 422, "/priority", "2147483647"),
    ("load", {"activePower": 1, "priority": None}, 422, "/priority", ""),
    ("load", {"activePower": 1, "priority": 4000}, 403, None, "3999"),
    ("load", {"activePower": 1.5}, 422, "/activePower", "whole"),
    ("load", {"activePower": 2 * 10 ** 9}, 422, "/activePower", ""),
    ("load", {"activePower": "1"}, 422, "/activePower", "number"),
    ("load", {"activePower": 1, "onConflict": "win"}, 422, "/onConflict", "discard"),
    ("load", {"activePower": 1, "exclusive": 1}, 422, "/exclusive", "true"),
    ("load", {"activePower": 1, "reason": "x" * 201}, 422, "/reason", "200"),
    ("load", {"activePower": 1, "scope": "connection"}, 422, "/scope", "unknown"),
]


def test_every_refusal_names_its_place_and_a_batch_tells_all(start_host, peer):
    host, text = start(start_host, peer)
    by_device, wrong = {}, []
    for key, fields, wanted, pointer, words in REFUSALS:
        merged = {name: value for name, value in {**BASE, **fields}.items() if value is not None}
        if "activePower" in fields and fields["activePower"] is None:
            merged["activePower"] = None
        status, body, headers = host.device(key).post(**merged)
        said = body["detail"] + "".join(error["detail"] for error in body.get("errors", []))
        pointers = [error["pointer"] for error in body.get("errors", [])]
        if status != wanted or (pointer is not None and pointer not in pointers) or \
                words not in said or headers["Content-Type"] != "application/problem+json":
            wrong.append((key, fields, status, pointers, said))
        if wanted == 422:
            by_device.setdefault(key, []).append((merged, pointer))
    assert not wrong, wrong
    for key, items in by_device.items():
        status, body, _ = host.request("POST", host.device(key).path + "/constraints:batch",
                                       {"constraints": [fields for fields, _ in items]})
        pointers = {error["pointer"] for error in body["errors"]}
        missing = {f"/constraints/{i}{pointer}" for i, (_, pointer) in enumerate(items)} - pointers
        assert status == 422 and not missing, (missing, pointers)
        assert host.device(key).constraints() == []

    # What can have no effect is taken, and says so.
    roof = host.device("roof")
    assert roof.post(**{**BASE, "validFor": 600}, minActivePower=-2000,
                     maxActivePower=-1000)[1]["noEffect"] is False
    assert roof.post(**{**BASE, "priority": 4}, activePower=-500)[1]["noEffect"] is True

    # How far ahead is the site's to say, also when it changes its mind.
    load = host.device("load")
    host.write_site(text.replace("store = {", "constraints = { maxAhead = 2 }, store = {"))
    until(lambda: load.post(priority=5, validFor=3 * 3600, activePower=1)[0] == 422,
          "the new site file is taken")
    status, body, _ = load.post(priority=5, validFor=3 * 3600, activePower=1)
    assert "2 h" in body["errors"][0]["detail"]
    host.write_site(text.replace("store = {", "constraints = { maxAhead = 30 }, store = {"))
    until(lambda: load.post(priority=5, validFor=29 * 3600, activePower=1)[0] == 201,
          "and the next one")


def test_on_a_full_device_the_creators_lowest_scheduled_one_makes_way(start_host, peer):
    host, _ = start(start_host, peer)
    load = host.device("load")
    path = load.path + "/constraints:batch"
    running = {"priority": 50, "validFor": 3600, "maxActivePower": 9000}
    scheduled = [{"priority": 10 + i, "validAt": at(1800), "invalidAt": at(3600),
                  "maxActivePower": 8000} for i in range(10)]
    tokens = [host.make_token(f"full-{i}", 3999) for i in range(6)]
    for token in tokens[:4]:
        assert host.request("POST", path, {"constraints": [running] * 50}, token)[0] == 200
    status, body, _ = host.request("POST", path, {"constraints": [running] * 30 + scheduled},
                                   tokens[4])
    assert status == 200 and body["madeWay"] == []
    first = [item["id"] for item in body["items"][30:]]
    assert host.request("POST", path, {"constraints": [running] * 10}, tokens[5])[0] == 200

    # 250 are there. Who has nothing scheduled finds no room; who has gives up the lowest of it.
    count = lambda: load.host.body(load.path + "/constraints?limit=500")["items"]
    assert len(count()) == 250
    status, body, _ = host.request("POST", load.path + "/constraints", running, tokens[5])
    assert status == 409 and "250" in body["detail"]
    status, body, _ = host.request("POST", load.path + "/constraints?dryRun=true", running, tokens[4])
    assert status == 200 and body["madeWay"] == first[:1] and len(count()) == 250
    status, body, _ = host.request("POST", load.path + "/constraints", running, tokens[4])
    assert status == 201 and body["madeWay"] == first[:1]
    status, body, _ = host.request("POST", path, {"constraints": [
        running, running, {**running, "id": first[3]}]}, tokens[4])
    assert status == 200 and body["madeWay"] == first[1:3], "what is replaced does not make way"
    status, _, _ = host.request("POST", path, {"constraints": [running] * 7}, tokens[4])
    assert status == 409 and len(count()) == 250, "six are left, seven are too many: none goes"
    ids = {item["id"] for item in count()}
    assert not ids & set(first[:3]) and set(first[3:]) <= ids
    host.kill()
    host.start()
    load.until_online()
    assert {item["id"] for item in count()} == ids, "what made way is gone from the disk too"
