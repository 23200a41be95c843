"""Disks that are full, read-only or damaged: limits in force stay in force, what cannot be kept is told,
and comes to the disk when that is back. Real file systems, each mounted for one test."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess

import pytest

from harness import DERD, until
from sites import LOAD, device, one, site

HELD = 1500


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path):
    """A small disk where the store is to be."""
    folder = tmp_path / "state"
    folder.mkdir()
    done = mount("-t", "tmpfs", "-o", "size=3m,mode=0700", "derd-test", str(folder))
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here: " + done.stderr.strip())
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def filled(folder):
    """No byte is left."""
    ballast = folder / "ballast"
    with open(ballast, "wb") as file:
        for size in (65536, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), b"x" * size)
    assert os.statvfs(folder).f_bavail == 0
    try:
        yield
    finally:
        ballast.unlink()


def held(start_host, peer):
    """A host whose device has a limit that is on disk."""
    dut = start_host(one(peer, "plain_load")).device("dut")
    dut.until_online()
    status, body, _ = dut.post(priority=3000, validFor=3600, maxActivePower=HELD, activePower=HELD)
    assert status == 201
    until(lambda: peer.get_int32(1, 11) == HELD, "the limit is written")
    return dut, body["id"]


def changes(dut, held_id):
    """What is asked while nothing can be written: bounds are taken, all else is refused; in words."""
    host = dut.host
    status, body, _ = dut.post(priority=3100, validFor=3600, maxActivePower=HELD - 500)
    assert status == 202 and body["durable"] is False
    assert dut.post(priority=10, validFor=600, activePower=1)[0] == 503
    assert dut.delete(held_id)[0] == 503
    answer = host.request("POST", "/v1/accounts/owner/tokens", {"name": "n", "maxPriority": 1})
    assert answer[0] == 503 and "store" in answer[1]["detail"]
    status, ready, _ = host.get("/ready")
    assert status == 503 and ready["storeFailing"] is True and len(ready["storeDetail"]) > 20
    assert {item["id"] for item in dut.constraints()} == {held_id, body["id"]}
    return body["id"], ready["storeDetail"]


def held_and_written(dut, peer, watts):
    """The limits are in force, and are what a device that forgot everything is told."""
    peer.set_int32(1, 11, 9999)
    peer.close()
    peer.open()
    until(lambda: peer.get_int32(1, 11) == watts, "the limit is written again")
    assert dut.effective()["maxActivePower"] == watts


def is_durable(dut, constraint_id):
    return {item["id"]: item["durable"] for item in dut.constraints()}.get(constraint_id)


def recovered(dut, peer, held_id, late_id):
    """By itself: the store works, and what was in force without being stored is stored."""
    host = dut.host
    until(lambda: is_durable(dut, late_id), "the late one is stored")
    assert host.get("/ready")[0] == 200
    host.kill()
    host.start()
    dut.until_online()
    assert {item["id"] for item in dut.constraints()} == {held_id, late_id}
    held_and_written(dut, peer, HELD - 500)


def test_a_disk_that_is_full_while_running(start_host, peer, disk):
    dut, held_id = held(start_host, peer)
    with filled(disk):
        late_id, words = changes(dut, held_id)
        assert "full" in words and "make room" in words
        assert "writing fails" in dut.host.log_text()
        held_and_written(dut, peer, HELD - 500)
    recovered(dut, peer, held_id, late_id)


def test_a_disk_that_is_full_at_the_start(start_host, peer, disk):
    dut, held_id = held(start_host, peer)
    assert dut.host.stop() == 0
    with filled(disk):
        peer.set_int32(1, 11, 9999)
        dut.host.start()
        until(lambda: peer.get_int32(1, 11) == HELD, "the limit is written")
        assert dut.effective()["maxActivePower"] == HELD
        late_id, words = changes(dut, held_id)
        assert "What it has is in force" in dut.host.log_text()
    recovered(dut, peer, held_id, late_id)


@pytest.mark.parametrize("killed", [False, True], ids=["after a stop", "after a kill"])
def test_a_disk_that_is_read_only_at_the_start(start_host, peer, disk, killed):
    dut, held_id = held(start_host, peer)
    if killed:
        dut.host.kill()
    else:
        assert dut.host.stop() == 0
    assert mount("-o", "remount,ro", str(disk)).returncode == 0
    peer.set_int32(1, 11, 9999)
    dut.host.start()
    until(lambda: peer.get_int32(1, 11) == HELD, "the limit is written")
    late_id, words = changes(dut, held_id)
    assert "reading only" in words
    assert mount("-o", "remount,rw", str(disk)).returncode == 0
    recovered(dut, peer, held_id, late_id)


BOX = "/v1/clusters/home/gridOperator"
OPERATOR = """gridOperator = { heartbeat = 120, source = "api",
  failsafe = { maxActivePower = 4200 } },"""


def test_the_grid_operators_limit_on_a_disk_that_is_full(start_host, peer, disk):
    """It is never called stored before it is, however often the box speaks, and is stored by itself."""
    peer.unit(1, LOAD)
    host = start_host(site(device(peer, "load", "plain_load", 1), cluster=OPERATOR))
    assert host.request("PUT", BOX, {"maxActivePower": 3000})[0] == 200
    with filled(disk):
        changed = {"maxActivePower": 1000}
        status, body, _ = host.request("PUT", BOX, changed)
        assert status == 202 and body["durable"] is False and body["maxActivePower"] == 1000
        for _ in range(3):
            status, body, _ = host.request("POST", BOX + ":heartbeat", {})
            assert status == 200 and body["durable"] is False
            assert host.body(BOX)["durable"] is False
            status, body, _ = host.request("PUT", BOX, changed)
            assert status == 202 and body["durable"] is False
    until(lambda: host.body(BOX)["durable"], "the limit is stored")
    host.kill()
    host.start()
    began = host.body(BOX)
    assert began["state"] == "init" and began["maxActivePower"] == 1000


def damage(path, start, length):
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\x5a" * length)


def test_a_store_that_is_damaged_while_running(start_host, peer):
    dut, held_id = held(start_host, peer)
    host = dut.host
    for name in ("derd.db", "derd.db-wal"):
        path = host.folder / "state" / name
        damage(path, 0, path.stat().st_size)
    held_and_written(dut, peer, HELD)
    assert held_id in [item["id"] for item in dut.constraints()]
    assert dut.post(priority=3100, validFor=3600, maxActivePower=HELD - 500)[0] in (201, 202)
    held_and_written(dut, peer, HELD - 500)


PERMANENT = 2600
WHAT_TO_DO = "run `derd restore BACKUP`"


def run(*arguments):
    return subprocess.run([DERD, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def damage_table(path, table):
    """Zeros in every page that has rows of it; its index, and all others, stay. What a kill left in the
    journal is brought in before."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = [row[0] for row in database.execute(
        "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", (table,))]
    database.close()
    assert pages
    content = bytearray(path.read_bytes())
    for page in pages:
        content[(page - 1) * 4096:page * 4096] = bytes(4096)
    path.write_bytes(content)
    return bytes(content)


@pytest.mark.parametrize("table, watts", [("receipts", HELD), ("constraints", PERMANENT)])
def test_a_store_that_is_damaged_at_the_start(start_host, peer, tmp_path, table, watts):
    """What can be read of it is in force, the site's permanent limits in any case; it is not written, and
    what to do is said wherever one may look. Once a backup is in its place all is well again."""
    limits = f"limits = {{ maxActivePower = {PERMANENT} }}"
    dut = start_host(one(peer, "plain_load", extra=limits)).device("dut")
    host, path = dut.host, tmp_path / "state" / "derd.db"
    dut.until_online()
    status, body, _ = host.request("POST", dut.path + "/constraints", {
        "priority": 3000, "validFor": 3600, "maxActivePower": HELD}, headers={"Idempotency-Key": "once"})
    assert status == 201
    assert dut.post(priority=10, validFor=3600, activePower=4000)[0] == 201
    until(lambda: peer.get_int32(1, 11) == HELD, "the limit is written")
    before = {item["id"] for item in dut.constraints()}
    held_id, device_id = body["id"], host.body(dut.path)["id"]
    assert run("backup", tmp_path / "whole.tar", "--site", host.site_path).returncode == 0

    host.kill()
    broken = damage_table(path, table)
    for refused in (run("token", "list", "--site", host.site_path),
                    run("backup", tmp_path / "broken.tar", "--site", host.site_path)):
        assert refused.returncode == 1 and "damaged" in refused.stderr, refused.stderr
    assert path.read_bytes() == broken

    peer.set_int32(1, 11, 9999)
    log_before = len(host.log_text())
    host.start()
    dut.until_online()
    assert host.body(dut.path)["id"] == device_id
    held_and_written(dut, peer, watts)
    assert ({item["id"] for item in dut.constraints()} == before) is (watts == HELD)

    # A new bound is in force; nothing else is taken, with the words.
    status, body, _ = dut.post(priority=3100, validFor=3600, maxActivePower=HELD - 500)
    assert status == 202 and body["durable"] is False
    until(lambda: peer.get_int32(1, 11) == HELD - 500, "the new bound is written")
    gone = dut.delete(held_id)
    assert gone[0] == (503 if watts == HELD else 404)
    for answer in (gone if watts == HELD else None,
                   dut.post(priority=10, validFor=600, activePower=1),
                   host.request("POST", "/v1/accounts/owner/tokens", {"name": "n", "maxPriority": 1}),
                   host.request("POST", "/v1/accounts", {"key": "new", "name": "New"}),
                   host.request("POST", "/v1/clusters", {"key": "new", "name": "New"}),
                   host.get("/v1/audit")):
        if answer:
            assert answer[0] == 503 and WHAT_TO_DO in answer[1]["detail"], answer

    # Wherever one may look.
    status, ready, _ = host.get("/ready")
    assert status == 503 and ready["storeFailing"] is True and ready["storeDamaged"] is True
    assert WHAT_TO_DO in ready["detail"] and WHAT_TO_DO in ready["storeDetail"]
    assert f"rows of {table}" in ready["storeDetail"]
    assert ("LIMITS THAT WERE ACCEPTED MAY BE MISSING" in ready["storeDetail"]) is (table == "constraints")
    said = [line for line in host.log_text()[log_before:].splitlines() if "derd.db is damaged" in line]
    assert len(said) == 1 and "error" in said[0].lower() and f"rows of {table}" in said[0]
    assert b"derd_store_damaged 1" in host.get("/metrics")[1]

    assert host.stop() == 0
    assert path.read_bytes() == broken, "nothing was written"
    assert run("restore", tmp_path / "whole.tar", "--site", host.site_path).returncode == 0
    host.start()
    dut.until_online()
    assert host.get("/ready")[0] == 200 and host.body("/ready")["storeDamaged"] is False
    assert {item["id"] for item in dut.constraints()} == before
    held_and_written(dut, peer, HELD)
    assert dut.delete(held_id)[0] in (200, 204)


def test_a_folder_without_a_store_is_no_reason_to_start_when_it_cannot_be_made(start_host, peer, disk):
    host = start_host(one(peer, "plain_load"))
    assert host.stop() == 0
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert mount("-o", "remount,ro", str(disk)).returncode == 0
    ended = subprocess.run([DERD, "serve", "--site", host.site_path], capture_output=True, text=True,
                           timeout=60)
    assert ended.returncode == 1 and "reading only" in ended.stderr
    assert mount("-o", "remount,rw", str(disk)).returncode == 0
    pathlib.Path(host.site_path).touch()
    host.token = host.make_token("again", 3999)
    host.start()
