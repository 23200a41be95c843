"""Constraints while the disk is slow: another program holds the database, and meanwhile the world moves on."""

import contextlib
import datetime
import sqlite3
import threading
import uuid

from harness import until
from sites import LOAD, device, one, site


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


class Asking(threading.Thread):
    """A request that waits for its answer beside the test."""

    def __init__(self, ask):
        super().__init__()
        self.ask, self.answer = ask, None
        self.start()

    def run(self):
        self.answer = self.ask()

    def status(self):
        self.join()
        return self.answer[0]


def load(start_host, peer):
    dut = start_host(one(peer, "plain_load")).device("dut")
    dut.until_online()
    return dut


def in_seconds(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def two(start_host, peer):
    """A host with the device and another, and the site without the device."""
    peer.unit(1, LOAD)
    peer.unit(2, LOAD)
    other = device(peer, "other", "plain_load", 2)
    host = start_host(site(device(peer, "dut", "plain_load", 1), other))
    host.device("dut").until_online()
    return host, host.device("dut"), site(other)


def test_a_renewal_that_meets_the_end_of_its_predecessor_is_on_disk(start_host, peer):
    dut = load(start_host, peer)
    mine = str(uuid.uuid4())
    assert dut.put(mine, priority=5, invalidAt=in_seconds(1), activePower=700)[0] == 201
    with slow_disk(dut.host):
        renewal = Asking(lambda: dut.put(mine, priority=5, validFor=600, activePower=700))
        until(lambda: dut.constraints() == [], "the first one has ended")
    assert renewal.status() in (200, 201)
    assert dut.post(priority=4, validFor=600, activePower=1)[0] == 201, "the disk has it all"
    dut.host.kill()
    dut.host.start()
    assert mine in [item["id"] for item in dut.constraints()]


def has_begun(host, text):
    until(lambda: text in host.log_text(), text)


def test_a_device_that_is_built_anew_meanwhile_still_takes_constraints(start_host, peer):
    dut = load(start_host, peer)
    host = dut.host
    with slow_disk(host):
        asking = Asking(lambda: dut.post(priority=5, validFor=600, maxActivePower=700))
        has_begun(host, "online")
        host.write_site(one(peer, "plain_load", 'name = "another"'))
        has_begun(host, "the site file has changed")
    assert asking.status() in (201, 202)
    dut.until_online()
    until(lambda: len(dut.constraints()) == 1, "it is there")
    assert dut.delete(dut.constraints()[0]["id"])[0] == 204
    assert dut.post(priority=5, validFor=600, activePower=1)[0] == 201


def test_what_was_answered_not_found_does_not_come_back_with_its_device(start_host, peer):
    host, dut, without = two(start_host, peer)
    with slow_disk(host):
        asking = Asking(lambda: dut.post(priority=5, validFor=600, activePower=700))
        until(lambda: asking.is_alive(), "it is asked")
        host.write_site(without)
        has_begun(host, "home/dut: left the site")
    assert asking.status() == 404
    host.write_site(one(peer, "plain_load"))
    until(lambda: host.get(dut.path)[0] == 200, "the device is back")
    assert dut.constraints() == []
    host.kill()
    host.start()
    assert dut.constraints() == []


def test_what_was_deleted_does_not_come_back_with_its_device(start_host, peer):
    host, dut, without = two(start_host, peer)
    _, body, _ = dut.post(priority=5, validFor=600, activePower=700)
    with slow_disk(host):
        asking = Asking(lambda: dut.delete(body["id"]))
        has_begun(host, f"constraint {body['id']} is to be removed")
        host.write_site(without)
        has_begun(host, "home/dut: left the site")
    assert asking.status() == 204
    host.write_site(one(peer, "plain_load"))
    until(lambda: host.get(dut.path)[0] == 200, "the device is back")
    assert dut.constraints() == []


def test_a_site_edit_while_the_store_fails_keeps_the_device_and_its_limit(start_host, peer):
    dut = load(start_host, peer)
    host = dut.host
    dut.post(priority=3000, validFor=600, maxActivePower=700)
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    with slow_disk(host):
        host.write_site(one(peer, "plain_load", 'name = "another"'))
        until(lambda: host.body(dut.path)["name"] == "another", "the edit is taken")
    assert dut.effective()["maxActivePower"] == 700
