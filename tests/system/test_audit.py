"""The audit log of a running host: who changed what, from where; behind a proxy, too; and no secret in it."""

import contextlib
import sqlite3
import uuid

from harness import until
from sites import LOAD, device, one, site

CLIENT = "203.0.113.7"
FORWARDED = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}


def behind(text):
    return text.replace("http = {", 'http = { proxies = { "127.0.0.1" },')


def rows(host, query="", kinds=("token",)):
    """All rows of these who, newest first."""
    found, cursor = [], ""
    while cursor is not None:
        status, page, _ = host.request("GET", f"/v1/audit?limit=200{query}{cursor}")
        assert status == 200, page
        found += page["items"]
        cursor = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    return [row for row in found if row["who"]["kind"] in kinds]


def newest(host, query=""):
    return rows(host, query)[0]


def test_constraints_are_recorded_with_the_change_from_the_forwarded_address(start_host, peer):
    host = start_host(behind(one(peer, "plain_load")))
    dut = host.device("dut")
    dut.until_online()
    path, mine = f"{dut.path}/constraints", str(uuid.uuid4())

    def ask(method, path, body=None):
        return host.request(method, path, body, headers={**FORWARDED, "X-Request-Id": f"r-{method}"})

    assert ask("PUT", f"{path}/{mine}", {"priority": 5, "maxActivePower": 700, "validFor": 600})[0] == 201
    row = newest(host)
    assert row["from"] == CLIENT and row["requestId"] == "r-PUT" and row["status"] == 201, row
    assert row["action"] == f"PUT {path}/{mine}" and row["durable"] is True
    assert row["who"]["kind"] == "token" and row["who"]["name"] == "test"
    assert row["who"]["account"] == "owner" and row["who"]["id"]
    ids = host.get(dut.path)[1]
    assert row["target"] == {"kind": "constraint", "id": mine, "name": "home/dut", "account": "owner",
                             "clusterId": ids["clusterId"], "deviceId": ids["id"]}
    assert row["before"] is None and row["after"]["maxActivePower"] == 700
    assert "activePower" not in row["after"], "no opinion is no value"

    assert ask("PUT", f"{path}/{mine}", {"priority": 5, "maxActivePower": 0, "validFor": 600})[0] == 200
    row = newest(host)
    assert (row["status"], row["before"]["maxActivePower"], row["after"]["maxActivePower"]) == (200, 700, 0)

    # A dry run, a refusal and a repetition are no changes.
    assert ask("PUT", f"{path}/{mine}?dryRun=true", {"priority": 5, "maxActivePower": 1, "validFor": 9})[0] == 200
    assert ask("POST", path, {"priority": 5})[0] == 422
    key = {"Idempotency-Key": str(uuid.uuid4())}
    body = {"priority": 6, "maxActivePower": 9, "validFor": 600}
    assert host.request("POST", path, body, headers=key)[0] == 201
    assert host.request("POST", path, body, headers=key)[0] == 201
    assert len(rows(host)) == 3 and newest(host)["from"] == "127.0.0.1", "no header: the proxy itself"

    # A batch is a row for each of its constraints; a host that is killed has them all.
    assert ask("POST", f"{path}:batch", {"constraints": [
        {"priority": 7, "maxActivePower": 1, "validFor": 600},
        {"id": mine, "priority": 5, "maxActivePower": 2, "validFor": 600}]})[0] == 200
    host.kill()
    host.start()
    batch = rows(host)[:2]
    assert {row["action"] for row in batch} == {f"POST {path}:batch"}
    assert {row["before"] and row["before"]["maxActivePower"] for row in batch} == {None, 0}
    assert ask("DELETE", f"{path}/{mine}")[0] == 204
    row = newest(host, f"&target={mine}")
    assert (row["status"], row["before"]["maxActivePower"], row["after"]) == (204, 2, None)
    assert len(rows(host, f"&target={ids['id']}")) == 6 and not rows(host, "&target=nothing")
    numbers = [row["number"] for row in rows(host)]
    assert numbers == sorted(numbers, reverse=True) and len(numbers) == 6


def test_what_a_client_says_of_itself_is_not_believed_without_a_proxy(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    status, *_ = host.request("POST", f"{dut.path}/constraints", headers=FORWARDED,
                              body={"priority": 5, "maxActivePower": 1, "validFor": 600})
    assert status == 201 and newest(host)["from"] == "127.0.0.1"


def test_clusters_devices_webhooks_and_limits_of_clusters_are_recorded(start_host, peer):
    peer.unit(2, LOAD)
    host = start_host(one(peer, "plain_load"))
    link = f"tcp://127.0.0.1:{peer.port}"
    status, cluster, _ = host.request("POST", "/v1/clusters", {
        "key": "annex", "name": "Annex", "maxUncontrolledPower": 500})
    assert status == 201
    row = newest(host, "&target=annex")
    assert row["target"]["kind"] == "cluster" and row["target"]["id"] == cluster["id"]
    assert row["before"] is None and row["after"]["name"] == "Annex" and row["after"]["account"] == "owner"
    status, b, _ = host.request("POST", "/v1/clusters/annex/devices", {
        "key": "b", "driver": "plain_load", "link": link, "unit": 2})
    assert status == 201
    patched = host.request("PATCH", f"/v1/clusters/annex/devices/{b['id']}", {"name": "Boiler"},
                           headers={"Content-Type": "application/merge-patch+json"})
    assert patched[0] == 200
    row = newest(host, f"&target={b['id']}")
    assert row["status"] == 200 and row["target"]["kind"] == "device"
    assert "name" not in row["before"] and row["after"]["name"] == "Boiler"
    # The same once more changes nothing.
    before = len(rows(host))
    host.request("PATCH", f"/v1/clusters/annex/devices/{b['id']}", {"name": "Boiler"},
                 headers={"Content-Type": "application/merge-patch+json"})
    assert len(rows(host)) == before
    status, limit, _ = host.request("POST", "/v1/clusters/annex/constraints", {
        "priority": 7, "scope": "controllable", "maxActivePower": 5000, "validFor": 600})
    assert status == 201
    row = newest(host, f"&target={limit['id']}")
    assert row["target"]["clusterId"] == cluster["id"] and row["target"]["deviceId"] is None
    assert row["after"]["scope"] == "controllable"
    status, hook, _ = host.request("POST", "/v1/webhooks", {
        "url": "https://example.com/T0PSECRETPATH", "types": ["alarm"]})
    assert status == 201 and hook["secret"]
    host.request("PATCH", f"/v1/webhooks/{hook['id']}", {"rotateSecret": True},
                 headers={"Content-Type": "application/merge-patch+json"})
    row = newest(host, f"&target={hook['id']}")
    assert row["after"]["secretRotated"] is True and row["after"]["address"] == "https://example.com:443"
    assert row["after"]["urlHash"] == row["before"]["urlHash"]
    for path in (f"/v1/webhooks/{hook['id']}", f"/v1/clusters/annex/devices/{b['id']}", "/v1/clusters/annex"):
        assert host.request("DELETE", path)[0] == 204, path
        assert newest(host)["after"] is None and newest(host)["action"] == f"DELETE {path}"
    said = str(rows(host)) + host.log_text()
    assert "T0PSECRETPATH" not in said and hook["secret"] not in said and "whsec_" not in said


def test_the_site_file_and_commands_on_the_machine_are_recorded(start_host, peer):
    text = one(peer, "plain_load")
    host = start_host(text)

    def of(kind):
        return rows(host, kinds=(kind,))

    # The token of this test was made before the host ran, on the store itself.
    row = of("console")[-1]
    assert row["action"] == "derd token create" and row["from"] == "console" and row["status"] is None
    assert row["target"]["kind"] == "token" and row["target"]["name"] == "test" and row["target"]["id"]
    assert row["after"]["maxPriority"] == 3999 and "token" not in row["after"]
    host.make_token("phone", 1000)
    assert of("console")[0]["target"]["name"] == "phone"

    assert [row["after"] for row in of("siteFile")] == [{"clusters": 1, "devices": 1}], "the first one"
    host.write_site(text.replace("unit = 1", "unit = 1, shareRank = 7").replace('listen = "127.0.0.1', 'threads = 32, listen = "127.0.0.1'))
    row = until(lambda: of("siteFile")[1:] and of("siteFile")[0], "the change is taken")
    place = "clusters.home.devices.dut.shareRank"
    assert row["before"] == {} and row["after"] == {place: 7}, "http is taken at the next start"
    assert row["target"]["kind"] == "siteFile" and row["target"]["name"] == str(host.site_path)
    host.kill()
    host.start()
    row = of("siteFile")[0]
    assert row["after"] == {"http.threads": 32} and len(of("siteFile")) == 3
    host.kill()
    host.write_site(text.replace("unit = 1", "unit = 1, shareRank = 8"))
    host.start()
    row = of("siteFile")[0]
    assert (row["before"], row["after"]) == ({place: 7, "http.threads": 32}, {place: 8}), "while it was down, too"


@contextlib.contextmanager
def slow_disk(host):
    """Nothing can be written for as long as this lasts; the host gives up after 2 s."""
    lock = sqlite3.connect(host.folder / "state" / "derd.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        lock.execute("ROLLBACK")
        lock.close()


def test_a_bound_that_the_disk_refuses_is_in_the_log_when_the_disk_is_back(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    with slow_disk(host):
        status, bound, _ = dut.post(priority=3000, validFor=600, maxActivePower=55)
        assert status == 202 and bound["durable"] is False
        assert dut.post(priority=5, validFor=600, activePower=5)[0] == 503
        until(lambda: "the audit log cannot be written yet" in host.log_text(), "the row waits")
    assert dut.post(priority=6, validFor=600, activePower=6)[0] == 201
    row = until(lambda: rows(host, f"&target={bound['id']}"), "its row")[0]
    assert row["durable"] is False and row["status"] == 202 and row["after"]["maxActivePower"] == 55
    assert len(rows(host)) == 2, "what was refused was no change"


def test_planted_secrets_are_in_no_file_log_or_problem(start_host, peer):
    """A token's text, a device's password, what somebody takes for a place of one."""
    planted = "PLANTED-1f0c9c6e"
    secret = device(peer, "web", "plain_load", 1, 'password = { file = "web.password" }')
    peer.unit(1, LOAD)
    host = start_host(site(device(peer, "dut", "plain_load", 1)))
    (host.folder / "web.password").write_text(f"{planted}-file\n")
    host.write_site(site(secret))
    until(lambda: host.get("/v1/clusters/home/devices/web")[0] == 200, "the device with a password")
    problems = []
    tries = [
        ("POST", "/v1/clusters/home/devices", {"key": "x", "driver": "plain_load", "link": "tcp://127.0.0.1:9",
                                               "password": f"{planted}-plain"}),
        ("POST", "/v1/clusters/home/devices", {"key": "y", "driver": "plain_load", "password": f"{planted}-plain",
                                               "link": f"http://me:{planted}-link@127.0.0.1"}),
        ("PATCH", "/v1/clusters/home", {"password": f"{planted}-plain"}),
        ("POST", "/v1/webhooks", {"url": f"https://me:{planted}-hook@example.com/", "types": ["alarm"]}),
        ("POST", "/v1/accounts", {"name": "a", "password": f"{planted}-plain"}),
    ]
    for method, path, body in tries:
        status, problem, _ = host.request(method, path, body)
        assert 400 <= status < 500, (path, status, problem)
        problems.append(problem)
    token = host.make_token("planted", 2000)
    owner = host.request("GET", "/v1/accounts/owner")[1]["id"]
    status, made, _ = host.request("POST", f"/v1/accounts/{owner}/tokens", {"name": "more", "maxPriority": 5})
    assert status == 201
    assert host.request("GET", "/v1/accounts", token=token + "x")[0] == 401
    assert host.request("GET", f"/v1/clusters?cursor={token}", token=token)[0] == 400
    audit = str(rows(host, kinds=("token", "console", "siteFile")))
    host.stop()
    seen = {"problems": str(problems), "audit": audit, "log": host.log_text()}
    for path in (host.folder / "state").rglob("*"):
        if path.is_file():
            seen[path.name] = path.read_bytes().decode("latin-1")
    for name, text in seen.items():
        for what in (planted, token, token[18:], made["token"], made["token"][18:]):
            assert what not in text, f"{what} is in {name}"
    host.start()
