"""Webhooks: signed, to whom they may go, at least once, and never to the harm of others."""

import threading

import pytest

from harness import Host, Simulator, free_port, until
from homes import home, site
from receiver import Receiver

HOOKS = "/v1/webhooks"


def with_webhooks(text, receiver, more=""):
    return text.replace("http = {", f'http = {{ webhooks = {{ allow = {{ "127.0.0.1:{receiver.port}"'
                                    f" }}, retryAfter = 0.1, {more} }}, ", 1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("webhooks")
    receiver = Receiver()
    simulator = Simulator(folder, home(battery=False))
    host = Host(folder, with_webhooks(site(simulator.ports, battery=False), receiver))
    host.device("wallbox").until_online()
    yield host, receiver
    host.stop()
    simulator.stop()
    receiver.stop()
    assert not receiver.wrong, "each signature is right"


def make(host, receiver, path, **fields):
    status, hook, headers = host.request("POST", HOOKS, {"url": receiver.url(path), **fields})
    assert status == 201, hook
    assert headers["Location"] == f"{HOOKS}/{hook['id']}"
    receiver.secrets[path] = hook["secret"]
    return hook


def change(host, hook, **fields):
    status, body, _ = host.request("PATCH", f"{HOOKS}/{hook['id']}", fields)
    assert status == 200, body
    return body


def look(host, hook):
    return host.body(f"{HOOKS}/{hook['id']}")


def delete(host, hook):
    assert host.request("DELETE", f"{HOOKS}/{hook['id']}")[0] == 204


def deliveries(host, hook):
    return host.body(f"{HOOKS}/{hook['id']}/deliveries?limit=500")["items"]


def post(host, power, **fields):
    status, body, _ = host.device("wallbox").post(priority=2000, maxActivePower=power, validFor=600,
                                                  **fields)
    assert status == 201, body
    return body["id"]


def of(constraint_id):
    return lambda event: event["type"] == "constraint" and event["data"]["id"] == constraint_id


def test_an_event_is_sent_signed_as_the_stream_shows_it(world):
    host, receiver = world
    hook = make(host, receiver, "/all", description="the dispatcher")
    assert hook["secret"].startswith("whsec_") and hook["state"] == "active"
    assert "flexibility" not in hook["types"] and "constraint" in hook["types"]
    assert "secret" not in look(host, hook)
    constraint = post(host, 5000)
    _, message_id, event, headers = receiver.until("/all", of(constraint))
    assert message_id == event["id"] and event["action"] == "created"
    assert event["data"]["maxActivePower"] == 5000 and event["clusterId"] and event["deviceId"]
    assert headers["Content-Type"] == "application/json"
    receiver.until("/all", lambda event: event["type"] == "decision")
    receiver.until("/all", lambda event: event["type"] == "command")
    assert not [entry for entry in receiver.at("/all") if entry[2]["type"] == "flexibility"]
    log = until(lambda: (done := deliveries(host, hook)) and
                all(item["state"] == "delivered" for item in done) and done, "all are delivered")
    assert all(item["attempts"] == 1 and item["status"] == 200 for item in log)

    rotated = change(host, hook, rotateSecret=True)
    assert rotated["secret"] != hook["secret"] and rotated["oldSecretUntil"]
    constraint = post(host, 4900)
    headers = receiver.until("/all", of(constraint))[3]  # verified with the old secret
    assert len(headers["webhook-signature"].split()) == 2
    receiver.secrets["/all"] = rotated["secret"]
    constraint = post(host, 4800)
    receiver.until("/all", of(constraint))
    delete(host, hook)
    assert host.get(f"{HOOKS}/{hook['id']}")[0] == 404


def test_filters_choose(world):
    host, receiver = world
    few = make(host, receiver, "/few", types=["flexibility"], deviceIds=["grid"])
    none = make(host, receiver, "/none", types=["constraint"], deviceIds=["grid"])
    asleep = make(host, receiver, "/asleep", enabled=False)
    receiver.until("/few")
    constraint = post(host, 4700)
    witness = make(host, receiver, "/witness")
    constraint = post(host, 4600)
    receiver.until("/witness", of(constraint))
    assert {entry[2]["type"] for entry in receiver.at("/few")} == {"flexibility"}
    assert not receiver.at("/none") and not receiver.at("/asleep")
    for hook in (few, none, asleep, witness):
        delete(host, hook)


def test_what_fails_is_tried_again_and_holds_nobody_up(world):
    host, receiver = world
    receiver.status["/flaky"] = [500, 302, 503, 200]
    receiver.held["/slow"] = threading.Event()
    slow = make(host, receiver, "/slow", types=["constraint"])
    flaky = make(host, receiver, "/flaky", types=["constraint"])
    swift = make(host, receiver, "/swift", types=["constraint"])
    constraint = post(host, 4500)
    receiver.until("/slow", of(constraint))
    receiver.until("/swift", of(constraint))
    done = until(lambda: (log := deliveries(host, flaky)) and log[0]["state"] == "delivered" and log,
                 "the fourth attempt succeeds")
    assert done[0]["attempts"] == 4 and done[0]["status"] == 200
    tries = [entry[1] for entry in receiver.at("/flaky")]
    assert len(tries) == 4 and set(tries) == {done[0]["id"]}
    assert not receiver.at("/elsewhere"), "no redirect is followed"
    until(lambda: look(host, flaky)["state"] == "active", "it has recovered")
    receiver.held["/slow"].set()
    for hook in (slow, flaky, swift):
        delete(host, hook)


def test_gone_disables_at_once_and_the_owner_revives(world):
    host, receiver = world
    receiver.status["/gone"] = [410, 200]
    hook = make(host, receiver, "/gone", types=["constraint"])
    post(host, 4400)
    seen = until(lambda: (now := look(host, hook))["state"] == "disabled" and now, "it is disabled")
    assert "410" in seen["stateDetail"] and seen["disabledAt"] and not seen["enabled"]
    sent = len(receiver.at("/gone"))
    post(host, 4300)
    revived = change(host, hook, enabled=True)
    assert revived["state"] == "active" and not revived["disabledAt"]
    receiver.until("/gone", lambda event: event["type"] == "reset"
                   and event["action"] == "revived")
    constraint = post(host, 4200)
    receiver.until("/gone", of(constraint))
    assert len(receiver.at("/gone")) == sent + 2, "nothing was sent while it was disabled"
    delete(host, hook)


def test_a_test_delivery_says_what_happened(world):
    host, receiver = world
    hook = make(host, receiver, "/tried")

    def tried():
        status, body, _ = host.request("POST", f"{HOOKS}/{hook['id']}:test", {})
        assert status == 200, body
        return body

    fine = tried()
    assert fine["delivered"] and fine["status"] == 200 and fine["error"] is None
    assert receiver.until("/tried")[2]["type"] == "test"
    receiver.status["/tried"] = [500]
    refused = tried()
    assert not refused["delivered"] and refused["status"] == 500
    # A name that leads to an address that is not allowed: the connection is never made.
    change(host, hook, url=f"http://localhost:{free_port()}/")
    inside = tried()
    assert not inside["delivered"] and inside["status"] is None
    assert "loopback" in inside["error"] and "allow" in inside["error"]
    delete(host, hook)


def test_wrong_webhooks_are_refused_with_every_mistake(world):
    host, receiver = world
    for url in ("http://127.0.0.2/", "http://10.0.0.1/", "http://169.254.169.254/latest",
                "http://[::1]/", "http://[::ffff:127.0.0.1]/", "ftp://example.com/",
                "https://me@example.com/", "http://0x7f.1/", "nonsense"):
        status, problem, _ = host.request("POST", HOOKS, {"url": url})
        assert status == 422 and problem["errors"][0]["pointer"] == "/url", (url, problem)
    status, problem, _ = host.request("POST", HOOKS, {
        "url": "https://example.com/", "types": ["constraint", "gossip"], "extra": 1})
    assert status == 422 and len(problem["errors"]) == 2
    status, problem, _ = host.request("POST", HOOKS, {
        "url": "https://example.com/", "clusterIds": ["nowhere"], "deviceIds": ["nothing"]})
    assert status == 422 and {error["pointer"] for error in problem["errors"]} == {
        "/clusterIds/0", "/deviceIds/0"}
    guest = host.make_token("guest", 3999, "read,control,scripts,admin")
    assert host.request("POST", HOOKS, {"url": receiver.url("/x")}, token=guest)[0] == 403


def test_what_was_queued_is_delivered_after_kill_9(world):
    host, receiver = world
    receiver.held["/late"] = threading.Event()
    hook = make(host, receiver, "/late", types=["constraint"])
    wanted = {post(host, 4000 + i) for i in range(5)}
    until(lambda: len(deliveries(host, hook)) == 5, "five are on disk")
    until(lambda: receiver.at("/late"), "the first is under way")
    host.kill()
    receiver.held.pop("/late").set()
    host.start()
    until(lambda: wanted <= {entry[2]["data"].get("id") for entry in receiver.at("/late")},
          "all five arrive")
    receiver.until("/late", lambda event: event["type"] == "reset"
                   and event["action"] == "restart")
    ids = [entry[1] for entry in receiver.at("/late") if entry[2]["type"] == "constraint"]
    assert len(set(ids)) == 5, "what comes twice has the same id"
    assert look(host, hook)["state"] == "active"
    delete(host, hook)


def test_who_fails_for_too_long_is_disabled_and_told_why(world):
    host, receiver = world
    host.stop()
    text = host.site_path.read_text().replace("retryAfter = 0.1,",
                                              "retryAfter = 0.05, giveUpAfter = 0.5,", 1)
    host.write_site(text)
    host.start()
    host.device("wallbox").until_online()
    receiver.status["/dead"] = [500]
    hook = make(host, receiver, "/dead", types=["constraint"])
    post(host, 3900)
    seen = until(lambda: (now := look(host, hook))["state"] == "disabled" and now, "it is disabled")
    assert "too long" in seen["stateDetail"] and "500" in seen["stateDetail"]
    assert len(receiver.at("/dead")) > 1
    delete(host, hook)
