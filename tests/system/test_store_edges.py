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


def posted(dut, key, **fields):
    return dut.host.request("POST", dut.path + "/constraints", fields,
                            headers={"Idempotency-Key": key})


def test_a_key_of_what_was_answered_not_found_can_be_used_again(start_host, peer):
    host, dut, without = two(start_host, peer)
    wish = {"priority": 5, "validFor": 600, "activePower": 700}
    with slow_disk(host):
        asking = Asking(lambda: posted(dut, "k1", **wish))
        until(lambda: asking.is_alive(), "it is asked")
        host.write_site(without)
        has_begun(host, "home/dut: left the site")
    assert asking.status() == 404
    host.write_site(one(peer, "plain_load"))
    until(lambda: host.get(dut.path)[0] == 200, "the device is back")
    status, _, headers = posted(dut, "k1", **wish)
    assert status == 201 and "Idempotency-Replayed" not in headers, "it was never done"
    assert len(dut.constraints()) == 1
    assert posted(dut, "k1", **wish)[2]["Idempotency-Replayed"] == "true"


@contextlib.contextmanager
def new_rows_refused(host):
    """A constraint can be replaced on disk, but no new one can be written."""
    base = sqlite3.connect(host.folder / "state" / "derd.db", isolation_level=None)
    base.execute("CREATE TRIGGER no_more BEFORE INSERT ON constraints WHEN NOT EXISTS (SELECT 1 FROM "
                 "constraints WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'no more'); END")
    try:
        yield
    finally:
        base.execute("DROP TRIGGER no_more")
        base.close()


def renewed_in_vain(dut, key, **fields):
    """A keyed renewal, with a new one beside it, that meets the end of its predecessor on its way and
    then cannot be stored: its answer, and how to ask it again."""
    mine = str(uuid.uuid4())
    assert dut.put(mine, priority=5, invalidAt=in_seconds(1), **fields)[0] == 201
    renewal = {"constraints": [{"id": mine, "priority": 5, "validFor": 600, **fields}]}

    def ask():
        return dut.host.request("POST", dut.path + "/constraints:batch", renewal,
                                headers={"Idempotency-Key": key})
    with new_rows_refused(dut.host):
        with slow_disk(dut.host):
            asking = Asking(ask)
            until(lambda: dut.constraints() == [], "the first one has ended")
        return asking.status(), ask


def test_a_renewal_that_could_not_be_stored_again_leaves_no_receipt(start_host, peer):
    dut = load(start_host, peer)
    status, ask = renewed_in_vain(dut, "k1", activePower=700)
    assert status == 503 and dut.constraints() == []
    status, _, headers = ask()
    assert status == 200 and "Idempotency-Replayed" not in headers, "it was never done"
    assert len(dut.constraints()) == 1


def test_a_bound_that_could_not_be_stored_again_is_told_as_not_durable(start_host, peer):
    dut = load(start_host, peer)
    status, ask = renewed_in_vain(dut, "k1", maxActivePower=700)
    assert status == 202
    status, body, headers = ask()
    assert (status, headers["Idempotency-Replayed"]) == (202, "true")
    assert [item["durable"] for item in body["items"]] == [False]


def test_a_site_edit_while_the_store_fails_keeps_the_device_and_its_limit(start_host, peer):
    dut = load(start_host, peer)
    host = dut.host
    dut.post(priority=3000, validFor=600, maxActivePower=700)
    until(lambda: dut.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    with slow_disk(host):
        host.write_site(one(peer, "plain_load", 'name = "another"'))
        until(lambda: host.body(dut.path)["name"] == "another", "the edit is taken")
    assert dut.effective()["maxActivePower"] == 700
