"""What stands before the routes: the service listener and /metrics, requests that are refused, and two
thousand clients that nobody wants."""

import json
import math
import socket
import subprocess
import sys
import threading
import time

from prometheus_client.parser import text_string_to_metric_families

import homes
from harness import PATIENCE_S, ROOT, free_port, until
from sites import device, one, site


def send(port, raw, patience_s=PATIENCE_S):
    """The whole answer to bytes as they are."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
        connection.sendall(raw)
        answer = b""
        try:
            while (more := connection.recv(65536)):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def ask(port, path, token=None, method="GET"):
    """(status, body, head)"""
    key = f"Authorization: Bearer {token}\r\n" if token else ""
    raw = send(port, f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{key}"
                     "Connection: close\r\n\r\n".encode())
    head, body = raw.split(b"\r\n\r\n", 1)
    return int(head.split()[1]), body, head.decode()


def metrics_of(text):
    """{(name, labels as a sorted tuple): value}; no sample twice."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type in ("gauge", "counter", "histogram"), family
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


class Metrics:
    def __init__(self, host):
        status, body, head = ask(host.service_port, "/metrics")
        assert status == 200 and "text/plain; version=0.0.4" in head, head
        self.all = metrics_of(body.decode())

    def get(self, name, **labels):
        return self.all.get((name, tuple(sorted(labels.items()))))

    def sum(self, name):
        return sum(value for key, value in self.all.items() if key[0] == name)


# --- the service listener ------------------------------------------------------------------------


def test_health_and_ready_are_the_same_on_both_ports(start_host, peer):
    host = start_host(one(peer))
    host.device("dut").until_online()
    for path in ("/health", "/ready"):
        status, body, _ = ask(host.service_port, path)
        other, same, _ = ask(host.port, path)
        assert status == other == 200
        here, there = json.loads(body), json.loads(same)
        assert here.pop("at", None) is not None or path == "/health"
        there.pop("at", None)
        assert here == there
        status, body, head = ask(host.service_port, path, method="HEAD")
        assert status == 200 and body == b"" and "Content-Length" in head
    for path, method, wanted in (("/", "GET", 404), ("/v1/clusters", "GET", 404), ("/metrics/", "GET", 404),
                                 ("/health", "POST", 405), ("/metrics", "DELETE", 405),
                                 ("/ready?verbose=1", "GET", 400)):
        status, body, head = ask(host.service_port, path, method=method)
        assert status == wanted and "application/problem+json" in head, (path, status, body)
        assert json.loads(body)["status"] == wanted and json.loads(body)["detail"]
    # A name that someone had resolved to this machine is not this machine's.
    raw = send(host.service_port, b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 421 ")


def test_a_taken_port_and_no_port_are_no_reason_not_to_run(start_host, peer, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        host = start_host(one(peer).replace("listen =", f'service = "127.0.0.1:{taken}", listen ='))
        host.device("dut").until_online()
        assert "there is no service listener" in host.log_text() and str(taken) in host.log_text()
        assert host.stop() == 0
    host.write_site(one(peer).replace("listen =", 'service = "off", listen ='))
    host.start()
    host.device("dut").until_online()
    assert "service: " not in host.log_text().split("stopping")[-1]


# --- /metrics ------------------------------------------------------------------------------------


def test_metrics_tell_what_the_api_tells(start_simulator, start_host):
    simulator = start_simulator(homes.home())
    host = start_host(homes.site(simulator.ports, policy="startDelay = 1"))
    wallbox = host.device("wallbox")
    wallbox.until_online()
    host.device("battery").until_online()
    host.device("grid").until_online()
    assert wallbox.post(priority=3000, maxActivePower=5000, validFor=600)[0] == 201
    assert wallbox.post(priority=3000, maxActivePower=4000, validAt="2999-01-01T00:00:00Z",
                        validFor=60)[0] == 422
    until(lambda: Metrics(host).get("derd_device_command", cluster="home", device="wallbox",
                                    state="confirmed"), "the wallbox has confirmed")
    soc = "derd_device_state_of_charge_ratio"
    until(lambda: Metrics(host).get(soc, cluster="home", device="battery"), "the battery is known")
    metrics = Metrics(host)
    box = {"cluster": "home", "device": "wallbox"}
    assert metrics.get("derd_device_bound_max_watts", **box) == 5000
    assert metrics.get("derd_device_constraints", status="inForce", **box) >= 1
    assert metrics.get("derd_device_connection", connection="online", **box) == 1
    assert metrics.get("derd_device_info", type="chargingStation", driver="abb_terra_ac", **box) == 1
    assert metrics.get(soc, cluster="home", device="battery") == 0.55
    assert metrics.get(soc, **box) is None, "unknown is absent"
    grid = {"cluster": "home", "device": "grid"}
    power = metrics.get("derd_device_active_power_watts", **grid)
    phases = [metrics.get("derd_device_phase_active_power_watts", phase=phase, **grid)
              for phase in ("L1", "L2", "L3")]
    assert math.isclose(power, sum(phases), abs_tol=50), (power, phases)
    until(lambda: Metrics(host).get("derd_device_energy_export_joules_total", **grid),
          "the meter has counted")
    assert 0 <= metrics.get("derd_device_sample_age_seconds", **grid)
    assert metrics.get("derd_device_sample_stale", **grid) == 0
    assert metrics.get("derd_device_polls_total", **grid) >= 1
    until(lambda: Metrics(host).get("derd_links_up", kind="tcp") == 3, "the engine's second")
    until(lambda: Metrics(host).get("derd_link_transactions_total", kind="tcp"), "the next one")
    policy = {"kind": "policy", "script": "solar_charging"}
    until(lambda: Metrics(host).get("derd_script_calls_total", **policy), "the policy was called")
    metrics = Metrics(host)
    assert 0 < metrics.get("derd_script_cpu_seconds_total", **policy)
    assert 0 < metrics.get("derd_script_memory_bytes", **policy) < \
        metrics.get("derd_script_memory_limit_bytes")
    assert metrics.get("derd_script_quarantined", **policy) == 0
    assert metrics.get("derd_store_commits_total") >= 1
    assert metrics.get("derd_store_commit_seconds_count") == metrics.get("derd_store_commits_total")
    assert metrics.get("derd_api_requests_total", method="POST", status="2xx",
                       route="/v1/clusters/{c}/devices/{d}/constraints") == 1
    assert metrics.get("derd_api_requests_total", method="POST", status="4xx",
                       route="/v1/clusters/{c}/devices/{d}/constraints") == 1
    assert metrics.get("derd_api_request_seconds_count", method="POST",
                       route="/v1/clusters/{c}/devices/{d}/constraints") == 2
    assert metrics.get("derd_ready") == metrics.get("derd_clock_trusted") == 1
    assert metrics.get("derd_metrics_devices_left_out") == 0

    # Requests of no route are one series, whatever they ask for.
    for i in range(5):
        assert host.get(f"/nothing/{i}")[0] == 404
    until(lambda: Metrics(host).get("derd_api_requests_total", method="other", route="other",
                                    status="4xx") == 5, "they are counted")

    # A device that is gone: its values are absent, its age grows.
    simulator.kill()
    until(lambda: Metrics(host).get("derd_device_sample_stale", **grid) == 1, "the meter is stale")
    metrics = Metrics(host)
    assert metrics.get("derd_device_active_power_watts", **grid) is None
    assert metrics.get("derd_device_energy_export_joules_total", **grid) is None
    assert metrics.get("derd_device_sample_age_seconds", **grid) > 0
    until(lambda: Metrics(host).get(soc, cluster="home", device="battery") is None, "so is the battery")
    until(lambda: Metrics(host).get("derd_device_connection", connection="offline", **grid),
          "the meter is offline")
    until(lambda: Metrics(host).get("derd_links_up", kind="tcp") == 0, "no link is up")


def test_a_failing_script_is_seen_in_metrics(start_host, peer):
    broken = """return { api = 1, name = "broken", every = 1,
  parameters = { load = { type = "device" } }, run = function() error("as always") end }
"""
    host = start_host(one(peer, policies='{ key = "p", policy = "broken", priority = 1, load = "dut" }'),
                      policies={"broken": broken})
    host.device("dut").until_online()
    labels = {"kind": "policy", "script": "broken"}
    until(lambda: (Metrics(host).get("derd_script_failures_total", outcome="raised", **labels) or 0) >= 2,
          "its failures are counted")
    metrics = Metrics(host)
    assert metrics.get("derd_script_failures_total", outcome="memory", **labels) == 0
    assert metrics.get("derd_script_calls_total", **labels) >= 2


def test_on_the_apis_port_each_account_sees_its_own(start_host, peer):
    for unit in (1, 2):
        peer.unit(unit, {0: 0, 1: 0, 11: 0, 12: 0})
    text = site(device(peer, "ours", "plain_load", 1)).replace(
        "clusters = {", 'clusters = { { key = "theirs", account = "tenant", devices = { '
        + device(peer, "their_load", "plain_load", 2).rstrip().rstrip(",") + " } }, ", 1)
    host = start_host(text)
    host.device("ours").until_online()
    host.device("their_load", "theirs").until_online()
    tenant = host.make_token("tenants", 0, "read", "--account", "tenant")
    narrow = host.make_token("narrow", 0, "read", "--clusters", "theirs")
    assert ask(host.port, "/metrics", host.make_token("blind", 0, "control"))[0] == 403
    assert ask(host.port, "/metrics")[0] == 401
    status, body, head = ask(host.port, "/metrics", host.token)
    assert status == 200 and "text/plain; version=0.0.4" in head
    whole = metrics_of(unchunked(head, body))
    info = [dict(key[1])["device"] for key in whole if key[0] == "derd_device_info"]
    assert sorted(info) == ["ours", "their_load"]
    assert any(key[0] == "derd_store_commits_total" for key in whole)
    for token in (tenant, narrow):
        status, body, head = ask(host.port, "/metrics", token)
        part = metrics_of(unchunked(head, body))
        clusters = {dict(key[1]).get("cluster") for key in part} - {None}
        assert status == 200 and clusters == {"theirs"}, clusters
        assert not any(key[0].startswith(("derd_store", "derd_script", "derd_api", "process"))
                       for key in part), "figures of the host are not a tenant's"


def unchunked(head, body):
    if "chunked" not in head:
        return body.decode()
    text = b""
    while body:
        size, body = body.split(b"\r\n", 1)
        text, body = text + body[:int(size, 16)], body[int(size, 16) + 2:]
    return text.decode()


# --- requests that are refused before any route --------------------------------------------------

REFUSED_ON_BOTH = [
    # status, bytes; a tuple: either. None: civetweb ends the connection without an answer
    (400, b"GET /health HTTP/1.1\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost:\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
          b"\r\n0\r\n\r\n"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"
          b"\r\n0\r\n\r\n"),
    (411, b"POST /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n"),
    (400, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    (413, b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"),
    (400, b"GET /%00health HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /health%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /health?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /%0d%0ahealth HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /%7f HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /v1/../health HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /v1/%2e%2e/health HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET /v1%2fclusters HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET http://localhost:@PORT@/health HTTP/1.1\r\nHost: localhost:@PORT@\r\n\r\n"),
    (400, b"GET http://a:@PORT@/health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ((400, None), b"GET http://a/health HTTP/1.1\r\nHost: a\r\n\r\n"),
    ((400, None), b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ((400, 405), b"TRACE /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    (405, b"OPTIONS /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    (400, b"GET /health\r\nHost: a\r\n\r\n"),
    (505, b"GET /health HTTP/3.0\r\nHost: a\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\nHost: a\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    (400, b"GET /health HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
    (400, b"GET /hea\0lth HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    (417, b"GET /health HTTP/1.1\r\nHost: a\r\nExpect: something\r\n\r\n"),
    (414, b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ((400, 431), b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n"),
    (431, b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 70 + b"\r\n"),
]


def post_raw(host, body):
    """A body as it is, sent to a route that takes one."""
    head = (f"POST /v1/clusters HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {host.token}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return send(host.port, head.encode() + body)


def test_requests_are_checked_before_routing_on_both_ports(start_host, peer):
    host = start_host(one(peer))
    wrong = []
    for port in (host.port, host.service_port):
        for wanted, raw in REFUSED_ON_BOTH:
            answer = send(port, raw.replace(b"@PORT@", str(port).encode()))
            head, _, body = answer.partition(b"\r\n\r\n")
            statuses = wanted if isinstance(wanted, tuple) else (wanted,)
            status = int(head.split()[1]) if head.startswith(b"HTTP/1.1 ") else None
            if status is None and status in statuses and answer == b"":
                continue
            if status not in statuses or b"application/problem+json" not in head or \
                    (b" 405 " not in head[:20] and b"Connection: close" not in head) or \
                    b"HTTP/1.1 2" in body:
                wrong.append(("api" if port == host.port else "service", raw[:80], wanted, status))
    assert not wrong, wrong

    # Bodies, on the port that takes some: depth, sizes, numbers, what is not JSON.
    deep = {"key": "a"}
    for _ in range(200):
        deep = {"deep": deep}
    bodies = [
        (400, json.dumps(deep).encode()),
        (400, b"[" * 30000),
        (400, b'{"key": 1' + b"0" * 400 + b"}"),
        (400, b'{"key": 1e999}'),
        (400, b'{"key": "\\u0000"}'),
        (400, b'{"key": "a", "key": "b"}'),
        (400, b'{"key": NaN}'),
        (400, b"\xff\xfe{}"),
        (400, b'{"key": "\xc0\xaf"}'),
        (400, b"[]"),
        (400, b"{}{}"),
        (413, b" " * 70000),
        (422, b'{"key": "' + b"a" * 60000 + b'"}'),
        (422, b'{"key": "a", "limits": [' + b"1," * 20000 + b"1]}"),
        (422, b'{"key": 99999999999999999}'),
    ]
    for wanted, body in bodies:
        answer = post_raw(host, body)
        if int(answer.split()[1]) != wanted or b"application/problem+json" not in answer:
            wrong.append((body[:60], wanted, answer[:600]))
    assert not wrong, wrong
    assert host.healthy() and ask(host.service_port, "/health")[0] == 200


# --- clients that nobody wants -------------------------------------------------------------------


class Crowd:
    def __init__(self, host, count):
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "tests/system/hostile_clients.py", str(host.port),
             str(host.service_port), str(count), host.token],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def leave(self):
        self.process.stdin.close()
        said = json.loads(self.process.stdout.readline())
        assert self.process.wait(PATIENCE_S) == 0
        self.process.stdout.close()
        return said


class Probe(threading.Thread):
    """Asks again and again, until it is told to end or has asked `count` times; how long each took."""

    def __init__(self, port, path, token=None, count=10**9):
        super().__init__(daemon=True)
        self.port, self.path, self.token, self.count = port, path, token, count
        self.took_s, self.failures, self.end = [], [], threading.Event()
        self.start()

    def run(self):
        while len(self.took_s) + len(self.failures) < self.count and not self.end.is_set():
            since = time.monotonic()
            try:
                status, _, head = ask(self.port, self.path, self.token)
                self.took_s.append(time.monotonic() - since)
                if status != 200:
                    self.failures.append(head[:60])
            except (OSError, ValueError, IndexError) as error:
                self.failures.append(repr(error))
            self.end.wait(0.01)

    def figures(self):
        took = sorted(self.took_s)
        at = lambda part: took[min(len(took) - 1, int(len(took) * part))] * 1e3
        return f"{len(took)} requests, p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, most {took[-1] * 1e3:.1f} ms"


def test_a_crowd_of_hostile_clients_leaves_health_and_devices_alone(start_simulator, start_host, full,
                                                                    capsys):
    count, probes = (2000, 2000) if full else (300, 300)
    simulator = start_simulator(homes.home())
    host = start_host(homes.site(simulator.ports, policy="startDelay = 1"))
    keys = ("grid", "battery", "roof", "wallbox")
    for key in keys:
        host.device(key).until_online()
    until(lambda: (Metrics(host).get("derd_engine_delay_seconds_count") or 0) >= 2, "it runs")
    quiet = Probe(host.service_port, "/health", count=probes // 4)
    quiet.join()
    honest_token = host.make_token("honest", 0)
    crowd = Crowd(host, count)
    before = Metrics(host)
    honest = Probe(host.port, "/v1/clusters", token=honest_token)
    health = Probe(host.service_port, "/health", count=probes)
    health.join()
    until(lambda: Metrics(host).get("derd_engine_delay_seconds_count") >=
          before.get("derd_engine_delay_seconds_count") + 5, "five seconds of the engine")
    after = Metrics(host)
    honest.end.set()
    honest.join()
    said = crowd.leave()
    with capsys.disabled():
        print(f"\n/health on the service port, nobody else: {quiet.figures()}"
              f"\n/health on the service port, {count} hostile clients: {health.figures()}"
              f"\n/v1/clusters on the API's port, the same: {honest.figures()}"
              f"\nconnections there that were hurried: {after.get('derd_api_hurried_total'):.0f}"
              f"\ncame: {said['came']}")
    assert health.failures == [] and len(health.took_s) == probes, health.failures[:5]
    assert all(said["came"].values()), said
    # An honest client of the API's port waits, but is answered; those that dawdle make way.
    assert honest.failures == [] and honest.took_s, honest.failures[:5]
    assert after.get("derd_api_hurried_total") > before.get("derd_api_hurried_total")
    assert max(health.took_s) < PATIENCE_S / 6

    # The engine's seconds against the devices' polls: none is missing, none has failed.
    seconds = after.get("derd_engine_delay_seconds_count") - before.get("derd_engine_delay_seconds_count")
    assert after.get("derd_polls_skipped_total") == before.get("derd_polls_skipped_total")
    for key in keys:
        labels = {"cluster": "home", "device": key}
        polls = after.get("derd_device_polls_total", **labels) - \
            before.get("derd_device_polls_total", **labels)
        period = 2 if key == "wallbox" else 1
        assert polls >= (seconds - 1) / period - 1, (key, polls, seconds)
        assert after.get("derd_device_poll_failures_total", **labels) == \
            before.get("derd_device_poll_failures_total", **labels)
        assert after.get("derd_device_connection", connection="online", **labels) == 1
    assert after.get("derd_service_connections") <= 256

    # Gone, they leave nothing behind.
    until(lambda: Metrics(host).get("derd_service_connections") <= 1, "their connections are closed")
    until(lambda: Metrics(host).get("derd_api_connections") == 0, "and those of the API's port",
          patience_s=PATIENCE_S * 3)
    assert host.get("/v1/clusters")[0] == 200


def test_the_oldest_silent_connection_makes_way(start_host, peer):
    host = start_host(one(peer))
    before = Metrics(host)
    connections = []
    for _ in range(256 + 40):
        connections.append(socket.create_connection(("127.0.0.1", host.service_port)))
    try:
        until(lambda: Metrics(host).get("derd_service_connections_total", end="pushed_out") +
              Metrics(host).get("derd_service_connections_total", end="timed_out") >= 40,
              "the oldest ones were ended")
        assert Metrics(host).get("derd_service_connections") <= 256
        assert ask(host.service_port, "/health")[0] == 200
        connections[0].settimeout(PATIENCE_S)
        assert connections[0].recv(1) == b"", "the first one was ended"
    finally:
        for connection in connections:
            connection.close()
    assert before.get("derd_service_connections_total", end="pushed_out") == 0
