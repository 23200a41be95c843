"""Accounts, clusters and devices made through the API, beside those of the site file."""

import concurrent.futures
import pathlib
import sqlite3

import pytest

from harness import until
from modbus_peer import Peer
from sites import INVERTER, LOAD, device, one, site


@pytest.fixture
def other():
    peer = Peer()
    yield peer
    peer.close()


def link(peer):
    return f"tcp://127.0.0.1:{peer.port}"


def patch(host, path, body, **headers):
    return host.request("PATCH", path, body, headers={
        **headers, "Content-Type": "application/merge-patch+json"})


def texts_of(host, thing_id):
    """Kinds of what the store remembers of it."""
    with sqlite3.connect(f"file:{host.folder}/state/derd.db?mode=ro", uri=True) as store:
        return {kind for (kind,) in store.execute("SELECT kind FROM texts WHERE key = ?", (thing_id,))}


def test_a_token_for_some_clusters_joins_no_device_of_others(start_host, peer):
    """As a further part of one it would read what it does not see, and write into its plans."""
    host = start_host(one(peer, "plain_load"))
    for key in ("house", "annex"):
        assert host.request("POST", "/v1/clusters", {"key": key, "name": key})[0] == 201
    annex = host.make_token("annex", 3999, "all", "--clusters", "annex")
    hybrid = {"driver": "sungrow_hybrid", "link": "tcp://127.0.0.1:9", "unit": 2}
    status, body, _ = host.request("POST", "/v1/clusters/house/devices", {**hybrid, "key": "a", "as": "inverter"})
    assert status == 201, body
    devices = "/v1/clusters/annex/devices"
    joins = {**hybrid, "key": "b", "as": "battery"}
    status, problem, _ = host.request("POST", devices, joins, token=annex)
    assert status == 422 and "not free" in str(problem["errors"]), problem
    # Nor later, by a change of its own device.
    status, body, _ = host.request("POST", devices, {**joins, "unit": 3}, token=annex)
    assert status == 201, body
    for token, status in ((annex, 422), (None, 200)):
        got = host.request("PATCH", devices + "/b?dryRun=true", {"unit": 2}, token=token, headers={
            "Content-Type": "application/merge-patch+json"})
        assert got[0] == status, got[1]


def test_of_a_deleted_device_nothing_stays_in_the_store(start_host, peer, other):
    other.unit(1, LOAD)
    host = start_host(one(peer, "plain_load"))
    made = {"key": "c", "driver": "plain_load", "link": link(other)}
    status, c, _ = host.request("POST", "/v1/clusters/home/devices", made)
    assert status == 201
    device_c = host.device("c")
    device_c.until_online()
    assert device_c.post(priority=3000, validFor=600, maxActivePower=55)[0] == 201
    until(lambda: {"ends", "told"} <= texts_of(host, c["id"]), "its store knows of it")
    assert host.request("DELETE", device_c.path)[0] == 204
    until(lambda: texts_of(host, c["id"]) == set(), "nothing stays")


def test_a_device_of_the_api_lives_beside_those_of_the_file(start_host, peer, other):
    peer.unit(2, INVERTER)
    other.unit(1, LOAD)
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    peer.set_int32(1, 0, 1000)
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W")

    # A cluster, and a device in it: polled at once.
    status, cluster, head = host.request("POST", "/v1/clusters", {
        "key": "annex", "name": "Annex", "maxUncontrolledPower": 500,
        "limits": {"maxActivePower": 9000}})
    assert status == 201 and cluster["origin"] == "api" and cluster["deviceCount"] == 0, cluster
    assert cluster["limits"] == {"maxActivePower": 9000} and cluster["maxUncontrolledPower"] == 500
    assert head["Location"] == f"/v1/clusters/{cluster['id']}" and head["ETag"] == '"1"'
    made = {"key": "b", "driver": "plain_inverter", "link": link(peer), "unit": 2}
    status, b, head = host.request("POST", "/v1/clusters/annex/devices", made)
    assert status == 201 and b["clusterId"] == cluster["id"] and b["type"] == "inverter", b
    assert head["Location"].endswith(b["id"])
    device_b = host.device("b", "annex")
    device_b.until_online()
    assert host.log_text().count("home/dut: online") == 1, "the device of the file was left alone"

    # One beside the file's, with the fields of the site file; a limit waits on disk.
    made = {"key": "c", "driver": "plain_load", "link": link(other), "role": "heater",
            "limits": {"maxActivePower": 3000}, "fallback": {"activePower": 0}}
    status, c, _ = host.request("POST", "/v1/clusters/home/devices", made)
    assert status == 201 and c["limits"] == {"maxActivePower": 3000} and c["role"] == "heater", c
    device_c = host.device("c")
    device_c.until_online()
    assert device_c.post(priority=3000, validFor=600, maxActivePower=55)[0] == 201
    until(lambda: other.get_int32(1, 11) == 0, "its fallback is sent")

    # Its link changes, its id and its constraints stay; what does not fit is told by pointers.
    seen = host.get(device_c.path)[2]["ETag"]
    status, problem, _ = patch(host, device_c.path, {"link": "nowhere", "unit": 300, "lnk": 1})
    assert status == 422
    assert {e["pointer"] for e in problem["errors"]} == {"/link", "/unit", "/lnk"}, problem
    with_peer = Peer()
    try:
        with_peer.unit(1, LOAD)
        status, changed, _ = patch(host, device_c.path, {"link": link(with_peer), "role": None},
                                   **{"If-Match": seen})
        assert status == 200 and changed["id"] == c["id"] and changed["role"] is None, changed
        assert patch(host, device_c.path, {"name": "x"}, **{"If-Match": seen})[0] == 412
        until(lambda: with_peer.journal, "the new address is polled")
        device_c.until_online()
        assert device_c.effective()["maxActivePower"] == 55
        until(lambda: with_peer.get_int32(1, 11) == 0, "and told what is decided")

        # kill -9: all is back by itself, under the same ids.
        host.kill()
        host.start()
        host.device("b", "annex").until_online()
        device_c.until_online()
        assert host.body(device_c.path)["id"] == c["id"]
        assert host.body(device_b.path)["id"] == b["id"]
        assert host.body("/v1/clusters/annex")["id"] == cluster["id"]
        assert device_c.effective()["maxActivePower"] == 55

        # What is deleted is polled no more; the others do not notice.
        assert host.request("DELETE", "/v1/clusters/annex")[0] == 409
        onlines = host.log_text().count("home/dut: online")
        assert host.request("DELETE", device_c.path)[0] == 204
        assert host.get(device_c.path)[0] == 404
        assert host.request("DELETE", device_b.path)[0] == 204
        assert host.request("DELETE", "/v1/clusters/annex")[0] == 204
        reads = len(peer.journal)
        until(lambda: len(peer.journal) > reads + 3, "the device of the file is polled on")
        assert {entry[1] for entry in peer.journal[-3:]} == {1}
        assert host.log_text().count("home/dut: online") == onlines
        assert "home/dut: offline" not in host.log_text()
    finally:
        with_peer.close()
    host.kill()
    host.start()
    assert [d["key"] for d in host.body("/v1/clusters/home/devices")["items"]] == ["dut"]
    assert [d["key"] for d in host.body("/v1/clusters")["items"]] == ["home"]


def test_many_changes_at_once_are_taken_one_after_the_other(start_host, peer):
    host = start_host(one(peer, "plain_load"))
    host.device("dut").until_online()

    def live(number):
        status, cluster, _ = host.request("POST", "/v1/clusters", {"name": f"C{number}"})
        assert status == 201, cluster
        path = f"/v1/clusters/{cluster['id']}"
        made = {"key": "d", "driver": "not_there", "link": "tcp://127.0.0.1:9", "unit": number}
        status, dut, _ = host.request("POST", path + "/devices", made)
        assert status == 201, dut
        status, limit, _ = host.request("PUT", f"{path}/devices/d/constraints/{cluster['id']}",
                                        {"priority": 1000, "validFor": 600, "maxActivePower": 1})
        assert status in (201, 422), limit
        for name in "ab":
            assert patch(host, path + "/devices/d", {"name": name})[0] == 200
        assert host.request("DELETE", path)[0] == 409
        if number % 2:
            assert host.request("DELETE", path + "/devices/d")[0] == 204
            assert host.request("DELETE", path)[0] == 204
        return number

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(live, range(1, 25))) == list(range(1, 25))
    assert len(host.body("/v1/clusters")["items"]) == 1 + 12
    assert host.log_text().count("home/dut: online") == 1
    host.kill()
    host.start()
    assert len(host.body("/v1/clusters")["items"]) == 1 + 12


def test_the_file_wins_and_the_clash_is_shown(start_host, peer):
    peer.unit(2, INVERTER)
    host = start_host(one(peer, "plain_load"))
    host.device("dut").until_online()
    made = {"key": "b", "driver": "plain_inverter", "link": link(peer), "unit": 2}
    status, b, _ = host.request("POST", "/v1/clusters/home/devices", made)
    assert status == 201
    status, annex, _ = host.request("POST", "/v1/clusters", {"key": "annex"})
    assert status == 201
    # The file declares the same keys now.
    text = site(device(peer, "dut", "plain_load", 1), device(peer, "b", "plain_inverter", 2))
    host.write_site(text.replace("clusters = {", 'clusters = { { key = "annex" },', 1))
    until(lambda: len(host.body("/v1/clusters")["items"]) == 3, "the file is taken")
    problems = str(host.body("/ready")["siteProblems"])
    assert "device b" in problems and "cluster annex" in problems
    host.device("b").until_online()
    now = host.body("/v1/clusters/home/devices/b")
    assert now["origin"] == "siteFile" and now["id"] != b["id"]
    hidden = host.body(f"/v1/clusters/home/devices/{b['id']}")
    assert hidden["connection"] == "notConfigured" and "site file" in hidden["connectionDetail"]
    status, problem, _ = patch(host, "/v1/clusters/home/devices/b", {"name": "x"})
    assert status == 409 and str(host.site_path) in problem["detail"]
    other = host.body(f"/v1/clusters/{annex['id']}")
    assert other["key"] is None and "annex" in other["clash"]
    # Gone from the file, the one of the API is in force again, under its id.
    host.write_site(site(device(peer, "dut", "plain_load", 1)))
    until(lambda: host.body("/v1/clusters/home/devices/b")["id"] == b["id"], "it is back")
    host.device("b").until_online()
    assert host.body("/v1/clusters/annex")["id"] == annex["id"]
    assert not host.body("/ready").get("siteProblems")
    assert host.log_text().count("home/dut: online") == 1


def test_accounts_part_what_they_see(start_host, peer):
    host = start_host(one(peer, "plain_load").replace('key = "home"',
                                                      'key = "home", account = "family"'))
    family = next(a for a in host.body("/v1/accounts")["items"] if a["key"] == "family")
    assert family["origin"] == "siteFile"
    assert host.request("DELETE", f"/v1/accounts/{family['id']}")[0] == 409
    status, shop, _ = host.request("POST", "/v1/accounts", {"name": "Shop"})
    assert status == 201
    status, token, _ = host.request("POST", f"/v1/accounts/{shop['id']}/tokens",
                                    {"name": "till", "maxPriority": 2000,
                                     "scopes": ["read", "configure"]})
    assert status == 201
    theirs = token["token"]
    assert host.request("GET", "/v1/clusters", token=theirs)[1]["items"] == []
    assert host.request("GET", "/v1/clusters/home", token=theirs)[0] == 404
    status, cluster, _ = host.request("POST", "/v1/clusters", {"name": "Shop"}, token=theirs)
    assert status == 201 and cluster["accountId"] == shop["id"] and cluster["key"] is None
    made = {"driver": "plain_load", "link": link(peer), "unit": 1}
    status, problem, _ = host.request("POST", f"/v1/clusters/{cluster['id']}/devices",
                                      {**made, "driver": "plain_inverter"}, token=theirs)
    assert status == 422 and problem["errors"][0]["pointer"] == "/link", problem # not whose, nor how
    made["driver"], made["unit"] = "not_there_yet", 9
    status, dut, _ = host.request("POST", f"/v1/clusters/{cluster['id']}/devices", made,
                                  token=theirs)
    assert status == 201 and dut["connection"] == "notConfigured"
    assert "not_there_yet" in dut["connectionDetail"]
    assert host.request("DELETE", f"/v1/accounts/{shop['id']}")[0] == 409
    host.kill()
    host.start()
    assert host.request("GET", "/v1/clusters", token=theirs)[1]["items"][0]["id"] == cluster["id"]
    assert host.request("DELETE", f"/v1/accounts/{shop['id']}/tokens/{token['id']}")[0] == 204
    assert host.request("GET", "/v1/clusters", token=theirs)[0] == 401


def test_scripts_come_through_the_api(start_host, peer):
    host = start_host(one(peer, "plain_load").replace('"plain_load"', '"uploaded"'))
    dut = host.device("dut")
    peer.set_int32(1, 0, 1000)
    assert dut.flexibility()["connection"] == "notConfigured"
    plain = (host.folder / "drivers" / "plain_load.lua").read_text()
    plain = plain.replace('"plain_load"', '"uploaded"')
    path = "/v1/drivers/uploaded"
    status, problem, _ = host.request("PUT", path, {"text": plain.replace("int32", "int31")})
    assert status == 422 and any("encoding" in e["detail"] for e in problem["errors"]), problem
    status, problem, _ = host.request("PUT", path, {"text": "return {\n api = 1,\n {,\n"})
    assert status == 422 and "uploaded.lua:3" in problem["errors"][0]["detail"], problem
    assert host.request("PUT", "/v1/drivers/plain_load", {"text": plain})[0] == 409

    # Taken at once: the device that waited for it is taken up with the answer.
    status, card, head = host.request("PUT", path, {"text": plain})
    assert status == 201 and card["status"] == "active" and head["Location"] == path, card
    until(lambda: dut.flexibility()["activePower"] == 1000, "1000 W by the upload")
    scaled = plain.replace('encoding = "int32"', 'encoding = "int32", scale = 2', 1)
    status, card, _ = host.request("PUT", path, {"text": scaled})
    assert status == 200 and card["generation"] == 2, card
    until(lambda: dut.flexibility()["activePower"] == 2000, "2000 W by the next one")

    host.kill()
    host.start()
    until(lambda: dut.flexibility()["activePower"] == 2000, "2000 W after kill -9")
    assert host.request("DELETE", path)[0] == 204
    assert host.body(path)["status"] == "removed"
    assert host.request("DELETE", path)[0] == 404
    assert host.request("DELETE", "/v1/drivers/plain_load")[0] == 409
    assert host.request("DELETE", "/v1/drivers/eastron_sdm")[0] == 409

    # One that hides an installed one gives it free again.
    shipped = host.body("/v1/drivers/eastron_sdm")
    text = pathlib.Path(shipped["path"]).read_text()
    status, card, _ = host.request("PUT", "/v1/drivers/eastron_sdm", {"text": text + "\n-- ours\n"})
    assert status == 201 and card["shadows"] == [shipped["path"]], card
    assert host.request("DELETE", "/v1/drivers/eastron_sdm")[0] == 204
    assert host.body("/v1/drivers/eastron_sdm")["path"] == shipped["path"]


def test_a_tenant_reaches_no_files_no_machines_of_others_and_no_further_tokens(start_host, peer, other):
    peer.unit(1, LOAD)
    other.unit(1, LOAD)
    host = start_host(one(peer, "plain_load"))
    host.device("dut").until_online()
    _, account, _ = host.request("POST", "/v1/accounts", {"key": "tenant", "name": "Tenant"})
    tokens = f"/v1/accounts/{account['id']}/tokens"
    tenant = host.request("POST", tokens, {"name": "boss", "maxPriority": 2999, "scopes": [
        "read", "control", "configure", "scripts", "admin"]})[1]["token"]
    small = host.request("POST", tokens, {"name": "wall", "maxPriority": 999})[1]
    assert host.request("POST", "/v1/clusters", {"key": "flat", "name": "Flat"}, token=tenant)[0] == 201
    devices = "/v1/clusters/flat/devices"

    # No file of the host, no other address; no machine of another account.
    body = {"key": "a", "driver": "plain_load", "link": link(other)}
    status, problem, _ = host.request("POST", devices, {
        **body, "password": {"file": "/etc/hostname"}, "reach": ["10.0.0.0/8"]}, token=tenant)
    assert status == 422 and {e["pointer"] for e in problem["errors"]} == {"/password", "/reach"}
    status, problem, _ = host.request("POST", devices, {**body, "link": link(peer)}, token=tenant)
    assert status == 422 and problem["errors"][0]["pointer"] == "/link", problem
    assert "home" not in str(problem), "whose it is, is told"
    assert host.request("POST", devices, body, token=tenant)[0] == 201

    # A small token makes and revokes none, and what it makes of constraints is told from its namesake's.
    assert host.request("POST", tokens, {"name": "x", "maxPriority": 0}, token=small["token"])[0] == 403
    assert host.request("DELETE", f"{tokens}/{small['id']}", token=small["token"])[0] == 403
    status, made, _ = host.request("POST", devices + "/a/constraints", {
        "priority": 500, "maxActivePower": 900, "validFor": 600}, token=small["token"])
    assert status == 201 and made["createdBy"] == f"token:wall#{small['id']}", made
