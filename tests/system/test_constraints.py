"""Constraints over time: windows, renewal, deletion, and what a restart, a full day or a clock in 1970
leave of them."""

import datetime
import uuid

from harness import until
from sites import one


def at(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def load(start_host, peer, extra="", **more):
    device = start_host(one(peer, "plain_load", extra), **more).device("dut")
    device.until_online()
    return device


def power_history(peer):
    return [(values[0] << 16) | values[1] for address, values in peer.writes() if address == 11]


def test_row_12_windows_start_and_end_at_their_boundaries(start_host, peer):
    device = load(start_host, peer)
    assert device.post(priority=5, validAt=at(0), invalidAt=at(8), activePower=500)[0] == 201
    assert device.post(priority=9, validAt=at(3), invalidAt=at(5), activePower=1000)[0] == 201
    until(lambda: power_history(peer)[-3:] == [500, 1000, 500], "500 W, 1000 W, 500 W are written")


def test_a_constraint_lapses_by_itself_and_the_loser_comes_back(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 700 }")
    until(lambda: power_history(peer)[-1:] == [700], "the fallback is sent")
    status, body, headers = device.post(priority=1000, validFor=2, activePower=3000)
    assert status == 201 and headers["Location"].endswith(body["id"])
    until(lambda: power_history(peer)[-1:] == [3000], "the set point is sent")
    until(lambda: power_history(peer)[-1:] == [700], "the fallback comes back by itself")
    assert device.constraints() == []


def test_delete_ends_it_at_once(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 0 }")
    _, body, _ = device.post(priority=1000, validFor=600, activePower=3000)
    until(lambda: peer.get_int32(1, 11) == 3000, "the set point is sent")
    assert device.delete(body["id"])[0] == 204
    until(lambda: peer.get_int32(1, 11) == 0, "the fallback is sent")
    assert device.delete(body["id"])[0] == 404


def test_put_creates_renews_and_keeps_the_rank(start_host, peer):
    device = load(start_host, peer)
    mine = str(uuid.uuid4())
    assert device.put(mine, priority=5, validFor=600, activePower=1000)[0] == 201
    assert device.post(priority=5, validFor=600, activePower=2000)[0] == 201
    assert device.effective()["activePower"] == 2000
    assert device.put(mine, priority=5, validFor=600, activePower=1500)[0] == 200
    assert device.effective()["activePower"] == 2000, "renewing changes no winner"
    assert len(device.constraints()) == 2


def test_an_acknowledged_constraint_survives_kill_9(start_host, peer):
    device = load(start_host, peer)
    status, body, _ = device.post(priority=3000, validFor=600, maxActivePower=0, reason="grid")
    assert status == 201
    until(lambda: peer.writes(), "it is written")
    device.host.kill()
    peer.forget()
    peer.set_int32(1, 11, 9999)
    device.host.start()
    until(lambda: peer.get_int32(1, 11) == 0, "the limit is applied again")
    kept = device.constraints()
    assert [(item["id"], item["maxActivePower"], item["reason"]) for item in kept] == [
        (body["id"], 0, "grid")]


def test_the_supervisor_brings_a_killed_host_back(start_host, peer):
    device = load(start_host, peer)
    device.post(priority=3000, validFor=600, maxActivePower=1234)
    until(lambda: peer.get_int32(1, 11) == 1234, "the limit is applied")
    child = device.host.pid_of_child()
    import os
    import signal
    os.kill(child, signal.SIGKILL)
    until(lambda: device.host.pid_of_child() not in (None, child), "another child runs")
    until(device.host.healthy, "the host answers again")
    peer.set_int32(1, 11, 9999)
    peer.close()
    peer.open()
    until(lambda: peer.get_int32(1, 11) == 1234, "the limit is applied after the return")


def test_a_restart_with_the_clock_in_1970_keeps_the_limit(start_host, peer):
    device = load(start_host, peer)
    assert device.post(priority=3000, invalidAt=at(600), maxActivePower=1500)[0] == 201
    until(lambda: peer.get_int32(1, 11) == 1500, "the limit is applied")
    device.host.stop()
    peer.set_int32(1, 11, 9999)
    seconds_since_1970 = int(datetime.datetime.now().timestamp())
    device.host.start("--clock-shift", str(60 - seconds_since_1970))
    until(lambda: peer.get_int32(1, 11) == 1500, "the limit holds")
    effective = device.effective()
    assert effective["maxActivePower"] == 1500 and effective["clockTrusted"] is False


def test_fifty_of_one_creator_are_the_most(start_host, peer):
    device = load(start_host, peer)
    for _ in range(50):
        assert device.post(priority=5, validFor=600, activePower=1)[0] == 201
    status, body, _ = device.post(priority=5, validFor=600, activePower=1)
    assert status == 409 and "50" in body["detail"]


def test_a_priority_above_the_tokens_is_forbidden(start_host, peer):
    device = load(start_host, peer, max_priority=1999)
    assert device.post(priority=2000, validFor=60, activePower=1)[0] == 403
    assert device.post(priority=1999, validFor=60, activePower=1)[0] == 201


def test_a_lower_token_cannot_touch_a_higher_constraint(start_host, peer):
    device = load(start_host, peer)
    _, body, _ = device.post(priority=3000, validFor=600, maxActivePower=1)
    low = device.host.make_token("low", 1999)
    path = f"{device.path}/constraints/{body['id']}"
    assert device.host.request("DELETE", path, token=low)[0] == 403
    fields = {"priority": 5, "validFor": 60, "maxActivePower": 9000}
    assert device.host.request("PUT", path, fields, token=low)[0] == 403
    assert device.effective()["maxActivePower"] == 1


def test_without_a_token_nothing_is_told_but_health(start_host, peer):
    device = load(start_host, peer)
    assert device.host.request("GET", "/health", token="")[0] == 200
    for path in ("/v1/clusters", device.path, device.path + "/flexibility", "/v1/drivers"):
        status, body, headers = device.host.request("GET", path, token="")
        assert status == 401 and "WWW-Authenticate" in headers and body["title"]
        assert device.host.request("GET", path, token="derd_wrong_token")[0] == 401
