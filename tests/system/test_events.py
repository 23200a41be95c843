"""Event streams: what happens is told once, in order, to those who may know, and to nobody's harm."""

import socket
import subprocess
import time

import pytest

from events import Stream, number
from harness import DERD, Host, Simulator, until
from homes import home, site


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    simulator = Simulator(folder, home())
    text = site(simulator.ports).replace("listen =", "threads = 16, rate = 10000, burst = 10000, listen =", 1)
    host = Host(folder, text)
    host.device("wallbox").until_online()
    yield simulator, host, text
    host.stop()
    assert simulator.stop() == 0


def ordered(events):
    ids = [number(event) for event in events]
    return ids == sorted(set(ids))


def test_a_constraint_is_followed_to_its_decision_its_command_and_its_end(world):
    _, host, _ = world
    wallbox = host.device("wallbox")
    device_id = host.body(wallbox.path)["id"]
    stream = Stream(host, types="constraint,decision,command", deviceId="wallbox")
    assert stream.head["content-type"].startswith("text/event-stream")
    assert stream.head["cache-control"] == "no-store"

    status, made, _ = wallbox.post(priority=2000, maxActivePower=5000, validFor=600, reason="grid")
    assert status == 201
    created = stream.until("constraint", action="created")
    shown = {**made}
    for extra in ("decision", "noEffect", "madeWay", "command"):
        del shown[extra]
    assert created["data"] == shown, "as the resource shows it"
    assert created["deviceId"] == device_id and created["clusterId"] == host.body(
        wallbox.path)["clusterId"]
    decision = stream.until("decision", lambda event: event["data"]["winners"]["maxActivePower"]
                            == made["id"])
    assert decision["data"]["maxActivePower"] == 5000
    confirmed = stream.until("command", lambda event: event["data"]["state"] == "confirmed"
                             and number(event) > number(decision))
    assert number(created) < number(decision) < number(confirmed)

    status, _, _ = wallbox.put(made["id"], priority=2000, maxActivePower=4500, validFor=600)
    assert status == 200
    assert stream.until("constraint", action="replaced")["data"]["maxActivePower"] == 4500
    assert wallbox.delete(made["id"])[0] == 204
    removed = stream.until("constraint", action="removed")
    assert removed["data"]["status"] == "removed" and removed["data"]["id"] == made["id"]
    stream.until("decision", lambda event: number(event) > number(removed)
                 and event["data"]["winners"]["maxActivePower"] != made["id"])

    wallbox.post(priority=2000, maxActivePower=4000, validFor=1)
    assert stream.until("constraint", action="ended")["data"]["status"] == "expired"
    assert ordered(stream.seen())
    assert {event["type"] for event in stream.seen()} == {"constraint", "decision", "command"}
    assert {event["deviceId"] for event in stream.seen()} == {device_id}
    stream.close()


def test_coming_back_with_the_last_id_gives_exactly_what_was_missed(world):
    _, host, _ = world
    wallbox = host.device("wallbox")
    witness = Stream(host, types="constraint,decision,command")
    stream = Stream(host, types="constraint,decision,command")
    left_at = stream.close()
    _, made, _ = wallbox.post(priority=2100, maxActivePower=4400, validFor=600)
    wallbox.delete(made["id"])
    witness.until("constraint", action="removed")
    for header in (True, False):
        again = (Stream(host, last_id=left_at, types="constraint,decision,command") if header else
                 Stream(host, lastEventId=left_at, types="constraint,decision,command"))
        again.until("constraint", action="removed")
        missed = [event for event in witness.seen() if number({"id": left_at}) < number(event)
                  <= number(again.seen("constraint", action="removed")[0])]
        got = again.seen()[:len(missed)]
        assert [event["id"] for event in got] == [event["id"] for event in missed]
        assert got == missed and not again.seen("reset")
        again.close()
    witness.close()


def test_an_id_of_another_start_is_answered_with_a_reset(world):
    _, host, _ = world
    stream = Stream(host, last_id="17-4")
    assert stream.until("reset")["action"] == "restart"
    assert stream.seen()[0]["type"] == "reset"
    stream.close()
    assert Stream(host, last_id="yesterday").status == 400


def test_flexibilities_come_at_most_once_a_second_and_as_the_resource_shows_them(world):
    simulator, host, _ = world
    stream = Stream(host, types="flexibility", deviceId="grid")
    stream.until("flexibility")
    until(lambda: len(stream.seen("flexibility")) >= 4, "the meter goes on being told")
    events = stream.seen("flexibility")
    assert set(events[0]["data"]) == set(host.device("grid").flexibility())
    times = [event["at"] for event in events]
    assert times == sorted(times) and ordered(events)
    stamp = [time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) + float(at[19:23])
             for at in times]
    assert all(later - sooner >= 0.9 for sooner, later in zip(stamp, stamp[1:]))
    stream.close()


def test_connections_and_site_changes_are_told(world):
    simulator, host, text = world
    stream = Stream(host, types="device,site,script")
    host.write_site(text.replace('key = "home",', 'key = "home", nonsense = 1,'))
    assert stream.until("site", action="mistakes")["data"]["siteFine"] is False
    host.write_site(text.replace('key = "roof"', 'key = "attic"'))
    assert stream.until("site", action="applied")["data"]["siteFine"] is True
    assert stream.until("device", action="removed")["data"]["key"] == "roof"
    assert stream.until("device", action="added")["data"]["key"] == "attic"
    stream.until("device", lambda event: event["data"]["key"] == "attic"
                 and event["data"]["connection"] == "online", action="connection")
    host.write_site(text)
    stream.until("device", lambda event: event["data"]["key"] == "roof", action="added")
    drivers = host.folder / "drivers"
    drivers.mkdir(exist_ok=True)
    (drivers / "nobody.lua").write_text("return {")
    error = stream.until("script", action="error")["data"]
    assert error["name"] == "nobody" and error["errors"]
    (drivers / "nobody.lua").write_text(
        (DERD.parent.parent / "drivers/eastron_sdm.lua").read_text().replace(
            "eastron_sdm", "nobody"))
    assert stream.until("script", action="taken")["data"]["name"] == "nobody"
    (drivers / "nobody.lua").unlink()
    stream.until("script", action="removed")
    stream.close()


def test_streams_are_so_many_and_the_rest_of_the_api_stays(world):
    _, host, _ = world
    streams = [Stream(host, types="alarm") for _ in range(4)]
    refused = Stream(host, patient=False)
    assert refused.status == 503 and int(refused.head["retry-after"]) > 0
    assert host.get("/health")[0] == 200 and host.device("grid").flexibility()
    until(lambda: all(stream.comments >= 2 for stream in streams), "the heart beats on each")
    streams.pop().close()
    # The one that left is noticed without a write that fails.
    streams.append(Stream(host, heartbeat=60))
    for stream in streams:
        stream.close()


def test_a_reader_that_does_not_read_is_dropped_and_others_go_on(world):
    """What cannot be sent within the patience ends the stream."""
    _, host, _ = world
    lively = Stream(host, types="constraint")

    def connect():
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        reader.connect(("127.0.0.1", host.port))
        reader.sendall("GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                       f"{host.token}\r\n\r\n".encode())
        return reader if reader.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200" else reader.close()

    stuck = until(connect, "there is room for a stream")
    wallbox = host.device("wallbox")
    constraint = "0c8f1d6e-3f1b-4c59-9d0a-6a9f7f1f0d11"
    turn = 0

    def busy_until_it_is_dropped():
        nonlocal turn
        for _ in range(20):
            turn += 1
            wallbox.put(constraint, priority=2000, maxActivePower=4200 + turn % 2, validFor=600,
                        reason="x" * 190)
        return "the client of a stream does not read" in host.log_text()

    until(busy_until_it_is_dropped, "the stuck reader is dropped")
    until(lambda: len(lively.seen("constraint")) == turn, "the other hears all")
    wallbox.delete(constraint)
    lively.close()
    stuck.close()


def test_a_revoked_token_ends_its_streams(world):
    _, host, _ = world
    token = host.make_token("short", 1000)
    stream = Stream(host, token=token)
    listed = subprocess.run([DERD, "token", "list", "--site", host.site_path], capture_output=True,
                            text=True, check=True).stdout
    token_id = next(line.split()[0] for line in listed.splitlines() if "short" in line)
    subprocess.run([DERD, "token", "revoke", token_id, "--site", host.site_path], check=True,
                   capture_output=True)
    assert stream.ended.wait(60) and stream.whole
    stream.close()


def test_wrong_questions_are_answered_in_words(world):
    _, host, _ = world
    for query, status in (("types=flexibility,nonsense", 400), ("deviceId=nobody", 404),
                          ("clusterId=nowhere", 404), ("heartbeat=0", 400), ("heartbeat=61", 400),
                          ("what=ever", 400)):
        got, problem, headers = host.get(f"/v1/events?{query}")
        assert got == status, (query, problem)
        assert headers["Content-Type"] == "application/problem+json"


def test_the_host_ends_though_streams_are_open_and_ids_go_on_increasing(world):
    _, host, _ = world
    stream = Stream(host, types="command")
    assert host.stop() == 0
    assert stream.ended.wait(60)
    place = stream.close()
    host.start()
    again = Stream(host, last_id=place)
    reset = again.until("reset")
    assert reset["action"] == "restart"
    assert tuple(map(int, place.split("-"))) < number(reset)
    again.close()
