"""How constraints are changed: many at once, conditionally, repeated, rehearsed; and that a host which
dies in the middle leaves all of a request or nothing, and never the same thing twice."""

import datetime
import threading
import uuid

from harness import until
from sites import one


def load(start_host, peer, extra="", **more):
    device = start_host(one(peer, "plain_load", extra), **more).device("dut")
    device.until_online()
    return device


def send(device, verb, tail, body=None, token=None, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return device.host.request(verb, device.path + tail, body, token, names)


def batch(device, items, query="", **headers):
    return send(device, "POST", "/constraints:batch" + query, {"constraints": items}, **headers)


def clear(device):
    for item in device.constraints():
        assert device.delete(item["id"])[0] == 204


def shape(decision):
    return {key: decision[key] for key in (
        "activePower", "minActivePower", "maxActivePower", "winners", "limited", "unmet")}


def test_what_is_asked_together_holds_together(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 0 }")
    host, mine = device.host, [str(uuid.uuid4()) for _ in range(3)]

    # All or none: one bad item, one above the token, one proposal too many, and nothing is there.
    status, body, _ = batch(device, [
        {"priority": 5, "maxActivePower": 1000, "validFor": 60},
        {"priority": 5, "minActivePower": 10, "maxActivePower": 5, "validFor": 60},
        {"priority": -1, "validFor": 60, "colour": 1},
        {"id": "mine", "priority": 5, "maxActivePower": 1, "validFor": 60}])
    assert status == 422
    pointers = {error["pointer"] for error in body["errors"]}
    assert {"/constraints/1/minActivePower", "/constraints/2/priority", "/constraints/2/colour",
            "/constraints/3/id"} <= pointers, pointers
    low = host.make_token("low", 1999)
    fine = {"priority": 5, "maxActivePower": 1, "validFor": 60}
    status, body, _ = batch(device, [fine, {**fine, "priority": 2000}], token=low)
    assert status == 403 and body["errors"][0]["pointer"] == "/constraints/1/priority"
    assert batch(device, [fine] * 51)[0] == 422
    assert device.constraints() == []

    # Upsert: one is there, two are new; one decision comes of it.
    assert device.put(mine[0], priority=5, validFor=600, activePower=500)[0] == 201
    status, body, _ = batch(device, [
        {"id": mine[0].upper(), "priority": 5, "validFor": 600, "activePower": 700},
        {"id": mine[1], "priority": 10, "validFor": 600, "maxActivePower": 2000},
        {"priority": 7, "validFor": 600, "activePower": 3000}])
    assert status == 200 and (body["created"], body["replaced"]) == (2, 1)
    assert [item["created"] for item in body["items"]] == [False, True, True]
    assert [item["id"] for item in body["items"][:2]] == mine[:2]
    assert [item["outcome"] for item in body["items"]] == ["applied", "applied", "discarded"]
    assert body["items"][2]["noEffect"] is True and body["decision"]["activePower"] == 700
    assert shape(device.effective()) == shape(body["decision"])

    # A token that may not touch one of them changes none.
    device.put(mine[2], priority=2500, validFor=600, maxActivePower=4000)
    status, body, _ = batch(device, [fine, {"id": mine[2], **fine}], token=low)
    assert status == 403 and "constraints[1]" in body["detail"], body
    assert len(device.constraints()) == 4

    # Fifty of one creator are the most, counted over the whole batch.
    status, body, _ = batch(device, [fine] * 47)
    assert status == 409 and len(device.constraints()) == 4
    assert batch(device, [fine] * 46)[0] == 200
    assert batch(device, [fine])[0] == 409
    assert batch(device, [{"id": mine[0], **fine}])[0] == 200, "replacing needs no room"

    # An id belongs to one device or cluster.
    other = {"id": mine[0], "priority": 5, "maxActivePower": 1000, "validFor": 60}
    status, body, _ = host.request("POST", "/v1/clusters/home/constraints:batch",
                                   {"constraints": [{**other, "scope": "controllable"}]})
    assert status == 409 and "another device or cluster" in body["detail"]
    del other["id"]
    status, body, _ = host.request("POST", "/v1/clusters/home/constraints:batch",
                                   {"constraints": [{**other, "scope": "controllable"}] * 21})
    assert status == 422
    status, body, _ = host.request("POST", "/v1/clusters/home/constraints:batch",
                                   {"constraints": [{**other, "scope": "controllable"}] * 20})
    assert status == 200 and body["created"] == 20
    assert body["decision"]["limits"]["controllable"]["maxActivePower"] == 1000
    tighter = {**other, "priority": 6, "scope": "controllable", "maxActivePower": 800}
    status, seen, _ = host.request("POST", "/v1/clusters/home/effective:preview",
                                   {"constraints": [tighter]})
    limit = seen["segments"][0]["limits"]["controllable"]
    assert seen["segments"][0]["unmet"] is None, "nobody has tried to share it out"
    assert status == 200 and limit["maxActivePower"] == 800
    assert limit["winners"]["maxActivePower"] == seen["constraints"][0]["id"]
    assert seen["segments"][-1]["limits"]["controllable"]["maxActivePower"] == 800
    status, seen, _ = host.request("POST", "/v1/clusters/home/effective:preview",
                                   {"leaveOut": [item["id"] for item in body["items"]]})
    assert seen["segments"][0]["limits"]["controllable"]["maxActivePower"] is None
    status, seen, _ = host.request("POST", "/v1/clusters/home/constraints?dryRun=true", tighter)
    assert (status, seen["wouldAnswer"]) == (200, 201)
    assert seen["decision"]["limits"]["controllable"]["maxActivePower"] == 800
    now = host.body("/v1/clusters/home/effective")["limits"]["controllable"]
    assert now["maxActivePower"] == 1000, "nothing was written"

    # Filters.
    listing = host.body(device.path + "/constraints?minPriority=2000&status=inForce")["items"]
    assert [item["id"] for item in listing] == [mine[2]]
    assert host.body(device.path + "/constraints?createdBy=token:low")["items"] == []
    assert host.body(device.path + "/constraints?status=scheduled")["items"] == []
    assert host.get(device.path + "/constraints?minPriority=high")[0] == 400


def test_what_was_read_before_a_restart_is_known_after_it(start_host, peer):
    host = load(start_host, peer, "fallback = { activePower = 0 }").host
    tag = host.get("/v1/clusters/home")[2]["ETag"]
    host.kill()
    host.start()
    assert host.request("GET", "/v1/clusters/home", headers={"If-None-Match": tag})[0] == 304


def test_conditions_repetitions_and_rehearsals(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 0 }")
    mine = str(uuid.uuid4())
    tail = f"/constraints/{mine}"
    fields = {"priority": 5, "validFor": 600, "activePower": 1000}

    # Create only, change only what was read.
    status, _, headers = send(device, "PUT", tail, fields, If_None_Match="*")
    assert status == 201
    first = headers["ETag"]
    status, body, headers = send(device, "PUT", tail, fields, If_None_Match="*")
    assert status == 412 and headers["ETag"] == first and first in body["detail"]
    status, _, headers = device.host.get(device.path + tail)
    read = headers["ETag"]
    assert read.startswith(first[:-1] + ".")
    assert send(device, "GET", tail, If_None_Match=read)[0] == 304
    # What others make of it is no change of it: the version stands, the shown bytes do not.
    device.post(priority=9, validFor=600, maxActivePower=0)
    assert send(device, "GET", tail, If_None_Match=read)[0] == 200
    status, _, headers = send(device, "PUT", tail, {**fields, "activePower": 1500}, If_Match=read)
    assert status == 200 and headers["ETag"] != first
    assert send(device, "PUT", tail, fields, If_Match=read)[0] == 412
    assert send(device, "DELETE", tail, If_Match=read)[0] == 412
    assert send(device, "PUT", f"/constraints/{uuid.uuid4()}", fields, If_Match="*")[0] == 412
    assert send(device, "PUT", tail, fields, If_Match="1")[0] == 400

    # Of many who saw the same, one wins.
    status, body, headers = device.host.get(device.path + tail)
    results = []

    def write(watts):
        results.append(send(device, "PUT", tail, {**fields, "activePower": watts},
                            If_Match=headers["ETag"])[0])
    writers = [threading.Thread(target=write, args=(100 + i,)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(results) == [200] + [412] * 7
    results.clear()
    fresh = str(uuid.uuid4())

    def create(watts):
        results.append(send(device, "PUT", f"/constraints/{fresh}", {**fields, "activePower": watts},
                            If_None_Match="*")[0])
    writers = [threading.Thread(target=create, args=(100 + i,)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(results) == [201] + [412] * 7

    # Rehearsals: the answer, and nothing written.
    before = device.constraints()
    status, body, headers = send(device, "POST", "/constraints?dryRun=true",
                                 {"priority": 10, "validFor": 600, "maxActivePower": 4000})
    assert (status, body["wouldAnswer"], body["dryRun"]) == (200, 201, True)
    assert body["decision"]["maxActivePower"] == 0 and "Location" not in headers
    assert body["outcome"] == "applied" and body["noEffect"] is False
    status, body, _ = send(device, "DELETE", tail + "?dryRun=true")
    assert (status, body["wouldAnswer"]) == (200, 204)
    status, body, _ = batch(device, [{"id": mine, **fields, "priority": 50}], "?dryRun=true")
    assert (status, body["wouldAnswer"], body["replaced"]) == (200, 200, 1)
    assert body["decision"]["activePower"] == 1000, body["decision"]
    low = device.host.make_token("low", 4)
    assert send(device, "DELETE", tail + "?dryRun=true", token=low)[0] == 403
    assert send(device, "PUT", tail + "?dryRun=true", fields, If_Match=first)[0] == 412
    assert send(device, "PUT", tail + "?dryRun=maybe", fields)[0] == 400
    strip = lambda items: [{k: v for k, v in item.items() if k != "explanation"} for item in items]
    assert strip(device.constraints()) == strip(before)

    # A repetition is done once and answered alike: at once, and after the host was killed.
    clear(device)
    key = str(uuid.uuid4())
    status, once, headers = send(device, "POST", "/constraints", fields, Idempotency_Key=key)
    assert status == 201 and "Idempotency-Replayed" not in headers
    where = headers["Location"]
    status, _, _ = batch(device, [fields], Idempotency_Key="b-" + key)
    assert status == 200
    for _ in range(2):
        status, again, headers = send(device, "POST", "/constraints", fields, Idempotency_Key=key)
        assert (status, headers["Location"], headers["Idempotency-Replayed"]) == (201, where, "true")
        assert again["id"] == once["id"]
        status, again, _ = batch(device, [fields], Idempotency_Key="b-" + key)
        assert status == 200 and len(device.constraints()) == 2
        device.host.kill()
        device.host.start()
        device.until_online()
    assert device.delete(once["id"])[0] == 204
    status, again, _ = send(device, "POST", "/constraints", fields, Idempotency_Key=key)
    assert status == 201 and again["id"] == once["id"], "it was done; that it went is another matter"
    assert len(device.constraints()) == 1
    status, _, _ = send(device, "POST", "/constraints", {**fields, "activePower": 1},
                        Idempotency_Key=key)
    assert status == 422


def test_a_host_that_is_killed_leaves_whole_requests_and_none_twice(start_host, peer, full):
    """Batches and single posts with keys, each repeated until it is answered, while the host is
    killed in the middle."""
    device = load(start_host, peer)
    host, size = device.host, 12
    for turn in range(40 if full else 6):
        answered, stop = [], threading.Event()

        def ask(turn=turn, answered=answered, stop=stop):
            number = 0
            while not stop.is_set() and number < 3:
                key = f"turn-{turn}-{number}"
                reason = f"{turn}.{number}"
                items = [{"priority": i, "validFor": 600, "maxActivePower": 5000 + i,
                          "reason": reason} for i in range(size)]
                try:
                    status, _, _ = batch(device, items, Idempotency_Key=key)
                except OSError:
                    stop.wait(0.02)
                    continue
                if status == 200:
                    answered.append(reason)
                    number += 1
        asker = threading.Thread(target=ask)
        asker.start()
        if turn % 2 == 0:
            until(lambda: len(answered) >= turn % 3 or not asker.is_alive(), "some are answered")
        host.kill()
        host.start()
        until(lambda: len(answered) == 3, "all are answered, some of them at their repetition")
        stop.set()
        asker.join()
        counts = {}
        for item in device.constraints():
            counts[item["reason"]] = counts.get(item["reason"], 0) + 1
        assert counts == {f"{turn}.{number}": size for number in range(3)}
        clear(device)


def test_a_preview_is_what_then_happens(start_host, peer):
    device = load(start_host, peer, "fallback = { activePower = 300 }")
    host, soon = device.host, [str(uuid.uuid4()) for _ in range(5)]
    t0 = datetime.datetime.now(datetime.timezone.utc)
    at = lambda s: (t0 + datetime.timedelta(seconds=s)).isoformat(
        timespec="milliseconds").replace("+00:00", "Z")
    device.put(soon[0], priority=100, invalidAt=at(600), maxActivePower=6000)
    items = [
        {"id": soon[1], "priority": 5, "validAt": at(0), "invalidAt": at(24), "activePower": 500},
        {"id": soon[2], "priority": 9, "validAt": at(6), "invalidAt": at(14), "activePower": 1000},
        {"id": soon[3], "priority": 200, "validAt": at(10), "invalidAt": at(18),
         "maxActivePower": 200},
        {"id": soon[4], "priority": 3, "validAt": at(0), "invalidAt": at(24), "activePower": 9000}]
    status, before, _ = send(device, "POST", "/effective:preview",
                             {"constraints": items, "until": at(24)})
    assert status == 200 and before["truncated"] is False
    assert len(device.constraints()) == 1, "nothing was written"
    effects = {item["id"]: item["noEffect"] for item in before["constraints"]}
    assert effects == {soon[1]: False, soon[2]: False, soon[3]: False, soon[4]: True}
    segments = before["segments"]
    # Under the limit of 200 W both set points are discarded, and the fallback is clamped to it.
    assert [s["activePower"] for s in segments] == [500, 1000, 200, 200, 500], segments
    assert all(a["until"] == b["from"] for a, b in zip(segments, segments[1:]))
    assert segments[-1]["until"] == before["until"] == at(24)
    assert all(loser["explanation"] for s in segments for loser in s["losers"])

    # The same by those who left something out: the limit of before does not count.
    status, other, _ = send(device, "POST", "/effective:preview", {"leaveOut": [soon[0]]})
    assert status == 200 and other["segments"][0]["winners"]["maxActivePower"] == "device"

    # And now for real: at each change it is what was foretold.
    assert batch(device, items)[0] == 200
    want = {}
    for segment in segments:
        want[segment["from"]] = (shape(segment), {
            (loser["id"], loser["outcome"], loser["against"]) for loser in segment["losers"]})
    seen = {}

    def look():
        effective = device.effective()
        now = effective["at"]
        for segment in segments:
            if segment["from"] <= now < segment["until"]:
                losers = {(c["id"], c["outcome"], c["against"]) for c in effective["constraints"]
                          if c["status"] == "inForce" and c["outcome"] != "applied"}
                seen[segment["from"]] = (shape(effective), losers)
        return len(seen) == len(segments)
    until(look, "each segment has come")
    assert seen == want
    assert send(device, "POST", "/effective:preview", {"leaveOut": [str(uuid.uuid4())],
                                                       "until": "2020-01-01T00:00:00Z",
                                                       "x": 1})[0] == 422
