"""Tokens on a real host: the first one, scopes from the console, ends, some clusters only."""

import datetime
import json
import subprocess

import pytest

from events import Stream
from harness import DERD, Host, free_port, until
from receiver import Receiver

ALL = "read,control,configure,scripts,admin"


class Bare(Host):
    """A host that nobody has made a token for."""

    def make_token(self, name, max_priority, *more):
        self.make_now = super().make_token
        return "derd_" + "a" * 12 + "_" + "A" * 43

    def healthy(self):
        return self.process.poll() is None


@pytest.fixture
def start_bare(tmp_path):
    hosts = []

    def start(site, **more):
        hosts.append(Bare(tmp_path, site, **more))
        return hosts[-1]

    yield start
    for host in hosts:
        assert host.stop() == 0, host.log_text()[-4000:]


def derd(*words):
    return subprocess.run([DERD, *map(str, words)], capture_output=True, text=True)


EMPTY = """return { http = { listen = "127.0.0.1:@HTTP@" }, store = { directory = "state" },
  clusters = { { key = "home", devices = {} }, { key = "flat", parent = "home", devices = {} },
               { key = "shop", devices = {} } } }"""


def answers(host):
    try:
        return Host.healthy(host)
    except AssertionError:
        raise
    except Exception:
        return False


def test_nothing_answers_but_health_until_the_first_token_is_made(start_bare):
    host = start_bare(EMPTY)
    until(lambda: answers(host), "the host answers /health")
    assert "no token yet" in host.log_text() and f"--site {host.site_path}" in host.log_text()
    for path in ("/", "/app.js", "/docs", "/swagger-ui.js", "/ready", "/v1/openapi.json", "/v1/clusters",
                 "/v1/events", "/v1/nothing", "/nothing"):
        for token in ("", host.token):
            for method, body in (("GET", None), ("POST", {"name": "x"})):
                status, problem, headers = host.request(method, path, body, token=token)
                assert status == 503, (path, method, status)
                assert headers["Content-Type"] == "application/problem+json"
                assert "derd token create" in problem["detail"]
    assert [host.service(path) for path in ("/health", "/ready", "/metrics")] == [200, 503, 503]
    assert host.request("GET", "/health", token="")[0] == 200
    assert host.request("HEAD", "/health", token="")[0] == 200
    token = host.make_now("first", 3999, "all")
    assert host.request("GET", "/v1/clusters", token=token)[0] == 200
    assert [host.service(path) for path in ("/health", "/ready", "/metrics")] == [200, 200, 200]
    assert host.request("GET", "/v1/clusters", token=host.token)[0] == 401
    for path in ("/", "/docs", "/v1/openapi.json"):
        assert host.request("GET", path, token="")[0] == 200
    assert derd("token", "revoke", token.split("_")[1], "--site", host.site_path).returncode == 0
    assert host.request("GET", "/", token="")[0] == 503 # as before the first one


def test_the_service_port_answers_health_alone_until_then_too(start_bare):
    port = free_port()
    host = start_bare(EMPTY.replace("http = {", f'http = {{ service = "127.0.0.1:{port}",'))
    until(lambda: answers(host), "the host answers /health")
    api, host.port = host.port, port
    assert host.request("GET", "/health", token="")[0] == 200
    for path in ("/ready", "/metrics"):
        status, problem, _ = host.request("GET", path, token="")
        assert status == 503 and "derd token create" in problem["detail"]
    host.make_now("first", 0, "read")
    for path in ("/ready", "/metrics"):
        assert host.request("GET", path, token="")[0] == 200
    host.port = api


def test_an_address_that_others_can_reach_is_not_opened_before_there_is_a_token(start_bare):
    host = start_bare(EMPTY.replace("127.0.0.1", "0.0.0.0"))
    until(lambda: "is not opened before there is a token" in host.log_text(), "it says that it waits")
    socket_path = host.folder / "state" / "derd.sock"
    until(socket_path.exists, "the console can reach it")
    assert not answers(host) and "ready: http" not in host.log_text()
    host.make_now("first", 0, "read")
    until(lambda: answers(host), "it is opened by the first token")
    until(lambda: "ready: http://0.0.0.0:" in host.log_text(), "it says so")
    assert host.stop() == 0
    host.start() # there is one now: at once
    until(lambda: answers(host), "it is open at once")
    assert host.log_text().count("is not opened before") == 1


def test_a_host_that_was_never_opened_ends(start_bare):
    host = start_bare(EMPTY.replace("127.0.0.1", "0.0.0.0"))
    until(lambda: "is not opened before there is a token" in host.log_text(), "it says that it waits")


def test_a_port_that_is_taken_is_told_and_ends_the_start(tmp_path, start_bare):
    host = start_bare(EMPTY)
    until(lambda: answers(host), "the host answers /health")
    other = tmp_path / "other.lua"
    other.write_text(EMPTY.replace("@HTTP@", str(host.port)).replace('"state"', '"other"'))
    second = derd("serve", "--site", other, "--foreground")
    assert second.returncode == 1 and f"cannot listen on 127.0.0.1:{host.port}" in second.stderr


def test_the_console_makes_lists_and_refuses_tokens(start_bare, tmp_path):
    site = tmp_path / "early.lua"
    site.write_text(EMPTY.replace("@HTTP@", "1").replace('"state"', '"early"'))
    made = derd("token", "create", "--site", site, "--name", "wall", "--scopes", "read", "--clusters", "home,shop",
                "--expires", "30d", "--max-priority", "0") # before a host has ever run on it
    assert made.returncode == 0 and made.stdout.startswith("derd_"), made.stderr
    assert "read, priorities up to 0, until 20" in made.stderr and "for some clusters" in made.stderr
    plain = derd("token", "create", "--site", site, "--name", "phone")
    assert "read,control, priorities up to 1999, without an end" in plain.stderr
    whole = derd("token", "create", "--site", site, "--name", "owner", "--scopes", "all", "--expires",
                 "2040-01-31T18:00:00+01:00")
    assert whole.returncode == 0
    heading, *rows = derd("token", "list", "--site", site).stdout.splitlines()
    assert [" ".join(each.split()) for each in heading.split("  ") if each.strip()] == [
        "ID", "NAME", "ACCOUNT", "MAX PRIORITY", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "CLUSTERS"]
    wall, phone, owner = (row.split() for row in rows)
    assert wall[1:5] == ["wall", "owner", "0", "read"] and len(wall[8].split(",")) == 2
    end = datetime.datetime.fromisoformat(wall[6])
    assert abs(end - datetime.datetime.fromisoformat(wall[5]) - datetime.timedelta(days=30)).total_seconds() < 60
    assert phone[4] == "read,control" and phone[6:] == ["never", "never", "-"]
    assert owner[4] == ALL and owner[6] == "2040-01-31T17:00:00.000Z"
    assert not [token for token in (made, plain, whole) if token.stdout.strip() in "\n".join(rows)]
    for wrong, words in ((("--scopes", "write"), "not write"), (("--scopes", ""), "not nothing"),
                         (("--expires", "soon"), "not soon"), (("--expires", "0d"), "not 0d"),
                         (("--clusters", ","), "1 to 16"), (("--max-priority", "-1"), "not -1")):
        refused = derd("token", "create", "--site", site, *wrong)
        assert refused.returncode == 2 and words in refused.stderr, (wrong, refused.stderr)
    for wrong, words in ((("--clusters", "nowhere"), 'no cluster "nowhere"'),
                         (("--expires", "2001-01-01T00:00:00Z"), "lies in the past"),
                         (("--name", "phone"), "exists")):
        refused = derd("token", "create", "--site", site, *wrong)
        assert refused.returncode == 1 and words in refused.stderr, (wrong, refused.stderr)
    assert derd("token", "list", "--site", site, "--scopes", "all").returncode == 2


def test_an_end_holds_on_good_clocks_and_on_bad_ones(start_bare):
    host = start_bare(EMPTY)
    until(lambda: answers(host), "the host answers /health")
    for_good, short = host.make_now("good", 0, "all"), host.make_now("short", 0, "all", "--expires", "1h")
    assert host.request("GET", "/v1/clusters", token=short)[0] == 200
    host.stop()
    host.start("--clock-shift", str(-3600 * 24 * 365)) # a clock without battery: nobody knows how late it is
    until(lambda: answers(host), "the host answers /health")
    assert host.request("GET", "/ready", token=for_good)[1]["clockTrusted"] is False
    status, problem, _ = host.request("GET", "/v1/clusters", token=short)
    assert status == 401 and "nobody can tell whether it has passed" in problem["detail"]
    assert host.request("GET", "/v1/clusters", token=for_good)[0] == 200
    host.stop()
    host.start("--clock-shift", str(2 * 3600))
    until(lambda: answers(host), "the host answers /health")
    status, problem, headers = host.request("GET", "/v1/clusters", token=short)
    assert status == 401 and "has expired" in problem["detail"] and "invalid_token" in headers["WWW-Authenticate"]
    assert host.request("GET", "/v1/clusters", token=for_good)[0] == 200


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


def test_a_token_for_some_clusters_sees_those_below_them_and_no_others(start_bare, receiver):
    host = start_bare(EMPTY.replace("http = {", "http = { webhooks = { allow = { \"127.0.0.1\" } },"))
    until(lambda: answers(host), "the host answers /health")
    root = host.make_now("root", 3999, "all")
    host.token = root
    home = host.make_now("home", 3999, "all", "--clusters", "home")
    flat = host.make_now("flat", 3999, "all", "--clusters", "flat")
    keys = lambda token: [item["key"] for item in host.request("GET", "/v1/clusters", token=token)[1]["items"]]
    assert sorted(keys(home)) == ["flat", "home"] and keys(flat) == ["flat"]
    assert host.request("GET", "/v1/clusters/home", token=flat)[0] == 404
    assert host.request("GET", "/v1/clusters/flat", token=flat)[1]["parentId"] is None # it sees no parent
    assert host.request("GET", "/v1/events?clusterId=shop", token=home)[0] == 404
    # It makes clusters below its own, and moves none out.
    ids = {item["key"]: item["id"] for item in host.body("/v1/clusters")["items"]}
    status, attic, _ = host.request("POST", "/v1/clusters", {"key": "attic", "name": "Attic",
                                                             "parentId": "flat"}, token=flat)
    assert status == 201 and attic["parentId"] == ids["flat"]
    assert host.request("POST", "/v1/clusters", {"name": "x"}, token=flat)[0] == 403
    assert host.request("POST", "/v1/clusters", {"name": "x", "parentId": "shop"}, token=flat)[0] == 422
    path = f"/v1/clusters/{attic['id']}"
    assert host.request("PATCH", path, {"parentId": None}, token=flat)[0] == 403
    assert host.request("PATCH", path, {"parentId": "shop"}, token=flat)[0] == 422
    only = host.make_now("attic", 3999, "all", "--clusters", "attic")
    assert host.request("PATCH", path, {"parentId": None}, token=only)[0] == 403
    assert host.request("PATCH", path, {"name": "Loft"}, token=only)[0] == 200
    # Streams and webhooks tell it of nothing else.
    hooks = "/v1/webhooks"
    body = {"url": receiver.url("/home"), "types": ["constraint"]}
    status, theirs, _ = host.request("POST", hooks, body, token=home)
    assert status == 201 and theirs["clusters"] == [ids["home"]]
    status, whole, _ = host.request("POST", hooks, {**body, "url": receiver.url("/all")})
    assert status == 201 and whole["clusters"] == []
    assert [each["id"] for each in host.request("GET", hooks, token=home)[1]["items"]] == [theirs["id"]]
    assert host.request("GET", hooks, token=flat)[1]["items"] == []
    assert host.request("DELETE", f"{hooks}/{whole['id']}", token=home)[0] == 404
    assert host.request("DELETE", f"{hooks}/{theirs['id']}", token=flat)[0] == 404
    stream = Stream(host, token=flat, types="constraint")
    limit = {"priority": 3000, "maxActivePower": 4200, "validFor": 600, "scope": "controllable"}
    order = ("shop", "home", "flat", "attic")
    for key in order:
        assert host.request("POST", f"/v1/clusters/{key}/constraints", limit)[0] == 201, key
    of = {value: key for key, value in {**ids, "attic": attic["id"]}.items()}
    until(lambda: [of[event["clusterId"]] for event in stream.seen()] == ["flat", "attic"],
          "the stream hears of its own")
    stream.close()

    def told(path):
        return [of[event["clusterId"]] for _, _, event, _ in receiver.at(path)
                if event["type"] == "constraint" and event["action"] == "created"]

    until(lambda: told("/all") == list(order), "the one for all was told of all")
    until(lambda: told("/home") == list(order[1:]), "the other one of its own")


def test_the_last_use_is_kept_over_a_restart(start_bare):
    host = start_bare(EMPTY)
    until(lambda: answers(host), "the host answers /health")
    host.token = host.make_now("root", 0, "all")
    used = host.make_now("used", 0, "read")
    unused = host.make_now("unused", 0, "read")
    assert host.request("GET", "/v1/clusters", token=used)[0] == 200

    def last(token):
        return host.body(f"/v1/accounts/owner/tokens/{token.split('_')[1]}")["lastUsedAt"]

    assert last(unused) is None
    assert last(used)
    before = last(used)
    host.kill() # what was not on disk is gone; the first use of a token is written at once
    host.start()
    until(lambda: answers(host), "the host answers /health")
    assert last(unused) is None and last(used) == before


def test_no_secret_is_logged_or_shown_again(start_bare):
    host = start_bare(EMPTY)
    until(lambda: answers(host), "the host answers /health")
    host.token = host.make_now("root", 3999, "all")
    _, made, _ = host.request("POST", "/v1/accounts/owner/tokens", {"name": "b", "maxPriority": 1})
    wrong = made["token"][:-1] + "x"
    assert host.request("GET", "/v1/clusters", token=wrong)[0] == 401
    shown = json.dumps([host.request("GET", "/v1/accounts/owner/tokens")[1],
                        host.request("GET", "/v1/clusters", token=wrong)[1]])
    for secret in (host.token, made["token"], wrong):
        assert secret.split("_", 2)[2] not in host.log_text() + shown
