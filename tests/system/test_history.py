"""History and the log of decisions: what was measured, what was decided, by whom, for how long; over
a kill, in three forms, in bounded memory, and after a device has left."""

import csv
import io
import json
import pathlib
import sqlite3
import struct
import time

import homes
from harness import BUILD, until

DEVICE = "/v1/clusters/home/devices/wallbox"
DAY_MS = 86400000


def rows_of(host, path, form="application/json"):
    status, body, headers = host.request("GET", path, headers={"Accept": form})
    assert status == 200, body
    assert headers["Transfer-Encoding"] == "chunked"
    assert headers["Content-Type"].split(";")[0] == form
    if form == "text/csv":
        return list(csv.DictReader(io.StringIO(body.decode())))
    if form == "application/x-ndjson":
        return [json.loads(line) for line in body.decode().splitlines()]
    return body["items"]


def cell(value):
    """A value of JSON as it stands in CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(value)
    return str(value)


def flat(item, prefix=""):
    cells = {}
    for key, value in item.items():
        cells.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict)
                     else {prefix + key: cell(value)})
    return cells


def same_numbers(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key] == b[key] or float(a[key]) == float(b[key]), (key, a, b)


def forms_agree(host, path):
    items = rows_of(host, path)
    assert items
    assert rows_of(host, path, "application/x-ndjson") == items
    for row, item in zip(rows_of(host, path, "text/csv"), items, strict=True):
        known = {key: value for key, value in flat(item).items() if value != ""}
        same_numbers(row, {key: "" for key in row} | known)
    return items


def resumes(host, path, items, limit):
    """Page by page, by nextCursor, the same rows come as in one go."""
    seen, cursor = [], None
    while True:
        status, page, _ = host.request(
            "GET", f"{path}&limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert status == 200
        assert len(page["items"]) <= limit
        seen += page["items"]
        cursor = page["nextCursor"]
        if not cursor:
            break
    assert seen == items


def limit(host, watts, reason, seconds=600):
    status, made, _ = host.request("POST", DEVICE + "/constraints", {
        "priority": 3000, "maxActivePower": watts, "validFor": seconds, "reason": reason})
    assert status == 201
    return made["id"]


def limited(host, ruling_id):
    """The row of the log that this constraint set, once it is there."""
    rows = rows_of(host, DEVICE + "/decisions")
    found = [row for row in rows if row["setBy"]["maxActivePower"] and
             row["setBy"]["maxActivePower"]["id"] == ruling_id]
    return found[-1] if found else None


def insert_bulk(folder, device_id, now_ms):
    """A day of samples each second and a year of quarters, as the host writes them."""
    base = sqlite3.connect(folder / "state" / "telemetry.db")
    (number,) = base.execute("SELECT number FROM devices WHERE id = ?", (device_id,)).fetchone()
    power, energy = 1 << 1, 1 << 15
    start = (now_ms - 2 * DAY_MS) // DAY_MS * DAY_MS
    with base:
        base.executemany("INSERT OR REPLACE INTO raw VALUES (?, ?, ?)", (
            (number, start + i * 1000,
             struct.pack("<BIQfdI", 1, 4000, power | energy, i % 7000, 1000.0 + i, 0))
            for i in range(86400)))
        base.executemany("INSERT OR REPLACE INTO quarters VALUES (?, ?, ?)", (
            (number, start - i * 900000,
             struct.pack("<BQfffIIddBB", 1, power | energy, -5, 4000 + i % 100, 2000.5, 900000, 450,
                         500.25, 1e6 - i * 500.25, 1, 0))
            for i in range(35040)))
        base.execute("UPDATE devices SET seen = seen | ?", (power | energy,))
    base.close()
    return start


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def check_live(host):
    """Samples and the log while the host runs."""
    first = limit(host, 5000, 'the grid, "operator"')
    until(lambda: (limited(host, first) or {"measured": {"atMaxSeconds": 0}})
          ["measured"]["atMaxSeconds"] > 0, "the car is seen at its limit")
    row = limited(host, first)
    assert row["until"] is None and row["endedBy"] is None
    assert row["inForce"] and row["controllable"] and row["clockTrusted"] and not row["unmet"]
    assert row["maxActivePower"] == 5000 and row["activePower"] is None
    cause = row["setBy"]["maxActivePower"]
    assert cause == {"id": first, "priority": 3000, "createdBy": "token:test",
                     "reason": 'the grid, "operator"'}
    assert row["command"]["state"] == "confirmed"
    assert row["from"] <= row["command"]["confirmedAt"]
    assert row["measured"]["outsideSeconds"] == 0
    assert host.request("DELETE", f"{DEVICE}/constraints/{first}")[0] == 204
    ended = until(lambda: (limited(host, first) or {}).get("until") and limited(host, first),
                  "the log shows the end")
    assert ended["endedBy"] == "replaced" and ended["seconds"] > 0
    assert ended["measured"]["seconds"] <= ended["seconds"]
    samples = until(lambda: rows_of(host, DEVICE + "/history?resolution=raw"), "samples appear")
    assert samples[0]["state"] and samples[0]["activePower"] is not None
    assert samples == sorted(samples, key=lambda sample: sample["at"])


def check_refusals(host):
    status, problem, _ = host.request(
        "GET", DEVICE + "/history?resolution=2m&from=x&to=2026-01-01&limit=0&fields=foo,model&cursor=!")
    assert status == 400
    assert [error["pointer"] for error in problem["errors"]] == [
        "to", "from", "limit", "resolution", "cursor", "fields", "fields"]
    status, problem, _ = host.request(
        "GET", DEVICE + "/history?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")
    assert status == 400 and problem["errors"][0]["pointer"] == "from"
    assert host.request("GET", DEVICE + "/history", headers={"Accept": "text/html"})[0] == 406
    assert host.request("GET", DEVICE + "/decisions", headers={"Accept": "image/*"})[0] == 406
    assert host.request("GET", DEVICE + "/decisions", token="")[0] == 401
    assert host.request("HEAD", DEVICE + "/history")[0] == 200


def check_bulk(host, start):
    def at(ms):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1000))

    day = f"{DEVICE}/history?from={at(start)}&to={at(start + DAY_MS)}"
    year = f"{DEVICE}/history?resolution=15m&from={at(start - 366 * DAY_MS)}&to={at(start + 1000)}"
    before_kib = resident_kib(host.pid_of_child())
    samples = rows_of(host, day + "&resolution=raw", "application/x-ndjson")
    assert len(samples) == 86400
    assert samples[0]["at"] == at(start)[:-1] + ".000Z"  # `from` is in it, `to` is not
    assert samples[-1]["activePower"] == 86399 % 7000 and samples[-1]["energyImport"] == 87399
    quarters = rows_of(host, year)
    assert len(quarters) == 35040
    assert quarters[-2]["energyImport"] == {  # the last one may have been made anew of samples
        "delta": 500.25, "last": 1e6 - 500.25, "source": "counter", "marks": []}
    if BUILD.name == "build":  # sanitizers keep what is freed
        assert resident_kib(host.pid_of_child()) - before_kib < 8192
    hour = f"{DEVICE}/history?from={at(start)}&to={at(start + 3600000)}&fields=activePower,state"
    items = forms_agree(host, hour)  # an hour is shown raw
    assert len(items) == 3600 and set(items[0]) == {"at", "activePower", "state"}
    resumes(host, hour, items, 999)
    # A stream that was cut goes on behind the last row that came.
    rest = rows_of(host, f"{hour}&cursor={items[1799]['at']}")
    assert rest == items[1800:]
    week = f"{DEVICE}/history?from={at(start - 7 * DAY_MS)}&to={at(start)}"
    items = forms_agree(host, week)
    assert len(items) == 7 * 96 and items[0]["activePower"]["count"] == 450
    resumes(host, week, items, 100)


def test_history_of_a_home(start_simulator, start_host):
    simulator = start_simulator(homes.home())
    site = homes.site(simulator.ports).replace(
        'directory = "state"', 'directory = "state", history = { raw = "7d" }')
    assert "7d" in site
    host = start_host(site)
    until(lambda: host.get("/ready")[1]["history"]["ready"], "the file is open")
    check_live(host)
    check_refusals(host)
    device_id = host.get(DEVICE)[1]["id"]

    killed = limit(host, 4500, "in force when the host dies")
    until(lambda: limited(host, killed), "the limit is in the log")
    host.kill()
    start = insert_bulk(host.folder, device_id, int(time.time() * 1000))
    host.start()
    until(lambda: host.get("/ready")[1]["history"]["ready"], "the file is open again")
    lost = until(lambda: limited(host, killed)["endedBy"] is None and
                 [row for row in rows_of(host, DEVICE + "/decisions")
                  if row["endedBy"] == "hostLost"], "the limit is in force again")
    assert lost[-1]["setBy"]["maxActivePower"]["id"] == killed
    assert lost[-1]["until"] <= limited(host, killed)["from"]
    ended = f"{DEVICE}/decisions?to={limited(host, killed)['from']}"
    resumes(host, ended, forms_agree(host, ended), 2)
    # What was in force at `from` belongs to the answer.
    inside = rows_of(host, f"{ended}&from={lost[-1]['until']}")
    assert inside == [] or inside[0]["from"] >= lost[-1]["until"]
    assert rows_of(host, f"{DEVICE}/decisions?from={lost[-1]['from']}")[0] == lost[-1]
    check_bulk(host, start)

    # The device leaves; its history stays, by its id.
    host.write_site("\n".join(line for line in site.splitlines() if 'key = "wallbox"' not in line))
    until(lambda: host.get(DEVICE)[0] == 404, "the device has left")
    by_id = f"/v1/clusters/home/devices/{device_id}"
    until(lambda: rows_of(host, by_id + "/decisions")[-1]["endedBy"] == "siteChanged",
          "its log has ended")
    assert len(rows_of(host, by_id + "/history?resolution=raw")) > 0
    assert host.get(DEVICE + "/history")[0] == 404
    assert host.get("/v1/clusters/home/devices/00000000-0000-4000-8000-000000000000/history")[0] == 404
    assert host.get("/ready")[1]["history"]["failing"] is False
