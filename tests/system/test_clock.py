"""Clocks that step by a day while the host runs, and that are not set at its start: limits in force stay in
force, over restarts too, and the host says what it thinks of its clock."""

import datetime
import json
import sqlite3
import threading
import time

from harness import until
from sites import one

DAY = 86400
HELD = 1500
SINCE_1970 = 60 - int(time.time())  # a shift that makes it 1970


def at(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock:
    """The wall clock of the host, in a file."""

    def __init__(self, folder):
        self.path = folder / "shift"
        self.arguments = ("--clock-shift", f"@{self.path}")
        self.set(0)

    def set(self, shift):
        new = self.path.with_suffix(".new")
        new.write_text(f"{shift}\n")
        new.rename(self.path)

    def step(self, host, shift):
        told = host.log_text().count("the wall clock stepped")
        self.set(shift)
        until(lambda: host.log_text().count("the wall clock stepped") > told, "the step is noticed")


def begin(start_host, peer, tmp_path, shift=0):
    clock = Clock(tmp_path)
    clock.set(shift)
    dut = start_host(one(peer, "plain_load"), arguments=clock.arguments).device("dut")
    dut.until_online()
    return clock, dut


def in_force(dut, peer, watts=HELD):
    assert dut.effective()["maxActivePower"] == watts
    peer.set_int32(1, 11, 9999)
    peer.close()
    peer.open()
    until(lambda: 0 <= peer.get_int32(1, 11) <= watts, "the limit is written again")


def again(dut):
    dut.host.kill()
    dut.host.start()
    dut.until_online()


def limits(dut):
    """One by duration, one until a moment: both hold the same."""
    for wish in ({"validFor": 3600}, {"invalidAt": at(3600)}):
        assert dut.post(priority=3000, maxActivePower=HELD, **wish)[0] == 201


def test_a_clock_that_steps_on_by_a_day_and_back_ends_no_limit(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    limits(dut)
    in_force(dut, peer)
    clock.step(dut.host, DAY)
    assert len(dut.constraints()) == 2, "bounds run on, also those whose moment was stepped over"
    in_force(dut, peer)
    clock.step(dut.host, 0)
    assert len(dut.constraints()) == 2
    in_force(dut, peer)
    assert dut.effective()["clockTrusted"] is True


def test_a_clock_that_steps_back_by_a_day_ends_no_limit(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    limits(dut)
    first = {item["id"]: item["validAt"] for item in dut.constraints()}
    clock.step(dut.host, -DAY)
    in_force(dut, peer)
    until(lambda: all(item["validAt"] < first[item["id"]] for item in dut.constraints()),
          "their times are stored by the clock as it is now")
    again(dut)
    assert len(dut.constraints()) == 2
    in_force(dut, peer)
    clock.step(dut.host, 0)
    in_force(dut, peer)


def test_a_clock_that_is_a_day_behind_at_the_start_ends_no_limit_and_is_told(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    limits(dut)
    assert dut.host.stop() == 0
    clock.set(-DAY)
    dut.host.start()
    dut.until_online()
    assert dut.host.body("/ready")["clockTrusted"] is False
    assert "the clock is behind the last time known to be true" in dut.host.log_text()
    assert len(dut.constraints()) == 2
    in_force(dut, peer)
    clock.set(0)
    until(lambda: dut.host.body("/ready")["clockTrusted"] is True, "it is right again")
    assert len(dut.constraints()) == 2
    in_force(dut, peer)


def end_of(dut):
    (item,) = dut.constraints()
    return item["invalidAt"]


def test_a_limit_by_duration_outlives_a_step_and_then_a_restart(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    assert dut.post(priority=3000, maxActivePower=HELD, validFor=3600)[0] == 201
    first = end_of(dut)
    clock.step(dut.host, DAY)
    until(lambda: end_of(dut) > first, "its end is told and stored by the clock as it is now")
    again(dut)
    in_force(dut, peer)


def stored(dut):
    """(invalidAt of the one constraint, its ends on the monotonic clock and the times that they are of), as
    one moment has them."""
    with sqlite3.connect(f"file:{dut.host.folder}/state/derd.db?mode=ro", uri=True) as store:
        ((invalid_at, ends),) = store.execute(
            "SELECT invalid_at_ms, (SELECT value FROM texts WHERE kind = 'ends') FROM constraints")
    (end,) = json.loads(ends)["ends"].values() if ends else (None,)
    return invalid_at, end


def only_id(dut):
    with sqlite3.connect(f"file:{dut.host.folder}/state/derd.db?mode=ro", uri=True) as store:
        ((constraint_id,),) = store.execute("SELECT id FROM constraints")
    return constraint_id


def test_whatever_times_the_store_has_their_end_on_the_monotonic_clock_is_known(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    assert dut.post(priority=3000, maxActivePower=HELD, validFor=3600)[0] == 201
    until(lambda: stored(dut)[1], "its end is stored")
    moments, done = [], threading.Event()

    def watch():
        while not done.is_set():
            moments.append(stored(dut))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for days in (1, 0, -1, 2):
            before = stored(dut)[0]
            clock.step(dut.host, days * DAY)
            until(lambda seen=before: stored(dut)[0] != seen, "its times are stored anew")
    finally:
        done.set()
        watcher.join()
    assert len({invalid_at for invalid_at, _ in moments}) > 2
    for invalid_at, end in moments:
        assert invalid_at in end[1:]


def test_a_host_that_ends_between_storing_the_end_and_the_times_keeps_the_limit(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path)
    assert dut.post(priority=3000, maxActivePower=HELD, validFor=3600)[0] == 201
    until(lambda: stored(dut)[1], "its end is stored")
    first = stored(dut)[0]
    clock.step(dut.host, DAY)
    until(lambda: stored(dut)[0] > first, "its times are stored anew")
    new, end = stored(dut)
    between = json.dumps({"ends": {only_id(dut): [end[0], first, new, 0]}})
    for invalid_at in (first, new):  # the times came not to the disk, or did
        dut.host.kill()
        with sqlite3.connect(dut.host.folder / "state" / "derd.db") as store:
            store.execute("UPDATE texts SET value = json_patch(value, ?) WHERE kind = 'ends'", (between,))
            assert store.execute("UPDATE constraints SET valid_at_ms = ?, invalid_at_ms = ?",
                                 (invalid_at - 3600_000, invalid_at)).rowcount == 1
        store.close()
        clock.set(3 * DAY)  # by this clock either would be over
        dut.host.start()
        dut.until_online()
        in_force(dut, peer)


def test_a_host_without_a_clock_takes_limits_and_keeps_them_when_it_is_set(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path, SINCE_1970)
    ready = dut.host.body("/ready")
    assert ready["clockTrusted"] is False and ready["at"] > "2024"
    assert "the clock is behind the last time known to be true" in dut.host.log_text()
    assert dut.post(priority=3000, maxActivePower=HELD, validFor=3600)[0] == 201
    in_force(dut, peer)
    first = end_of(dut)
    clock.step(dut.host, 0)
    in_force(dut, peer)
    assert dut.effective()["clockTrusted"] is True
    until(lambda: end_of(dut) > first, "its end is told and stored by the clock as it is now")
    again(dut)
    in_force(dut, peer)


def test_a_host_that_is_started_again_without_a_clock_keeps_its_limits(start_host, peer, tmp_path):
    clock, dut = begin(start_host, peer, tmp_path, SINCE_1970)
    limits(dut)
    in_force(dut, peer)
    again(dut)
    in_force(dut, peer)
    assert len(dut.constraints()) == 2
