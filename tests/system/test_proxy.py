"""TLS by the proxy that ships with derd: `derd proxy`, the real nginx, the real host, clients that verify."""

import contextlib
import http.client
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from harness import DERD, PATIENCE_S, free_port, until
from sites import one

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def behind(text):
    return text.replace("http = {", 'http = { proxies = { "127.0.0.1" },')


def set_up(host, folder, port, *more, name="localhost"):
    return subprocess.run([DERD, "proxy", "--site", host.site_path, "--name", name, "--folder", folder,
                           "--listen", f"127.0.0.1:{port}", *more], capture_output=True, text=True)


class Proxy:
    """nginx as `derd proxy --folder` has set it up."""

    def __init__(self, host, folder):
        self.host, self.folder, self.port = host, folder, free_port()
        done = set_up(host, folder, self.port)
        assert done.returncode == 0, done.stdout + done.stderr
        self.said, self.ca = done.stdout, folder / "ca.crt"
        self.process = subprocess.Popen([NGINX, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"])
        until(self.listens, "the proxy listens")

    def listens(self):
        assert self.process.poll() is None, "nginx ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self, context=None, name="localhost"):
        context = context or ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection(name, self.port, context=context, timeout=PATIENCE_S)

    def request(self, method, path, body=None, headers=(), token=None):
        connection = self.connect()
        connection.request(method, path, None if body is None else json.dumps(body), {
            "Authorization": f"Bearer {token or self.host.token}", "Content-Type": "application/json",
            **dict(headers)})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(raw) if "json" in kind else raw, answer.headers

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0


@pytest.fixture
def proxied(start_host, peer, tmp_path):
    host = start_host(behind(one(peer, "plain_load")))
    host.device("dut").until_online()
    proxy = Proxy(host, tmp_path / "proxy")
    yield proxy
    proxy.stop()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
def test_clients_that_verify_get_through_and_others_do_not(proxied):
    status, clusters, head = proxied.request("GET", "/v1/clusters")
    assert status == 200 and clusters["items"][0]["key"] == "home"
    assert head["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "nginx/" not in head.get("Server", "")
    curl = ["curl", "-sS", "--max-time", str(PATIENCE_S), "-o", "/dev/null", "-w", "%{http_code}"]
    url = f"https://localhost:{proxied.port}/health"
    assert subprocess.run([*curl, "--cacert", proxied.ca, url], capture_output=True, text=True).stdout == "200"
    stranger = subprocess.run([*curl, url], capture_output=True, text=True)
    assert stranger.returncode == 60, "a client that does not trust this CA refuses"
    # The name is verified too, and the CA may sign no other.
    with pytest.raises(ssl.SSLCertVerificationError):
        proxied.connect(name="127.0.0.1").request("GET", "/health")
    text = subprocess.run(["openssl", "x509", "-in", proxied.ca, "-noout", "-text"],
                          capture_output=True, text=True, check=True).stdout
    assert "Name Constraints: critical" in text and "DNS:localhost" in text
    # TLS 1.2 and later only; plain HTTP is told what to do.
    for version, works in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True),
                           (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.create_default_context(cafile=proxied.ca)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        connection = proxied.connect(context)
        if works:
            connection.request("GET", "/health")
            assert connection.getresponse().status == 200
        else:
            with pytest.raises(ssl.SSLError):
                connection.request("GET", "/health")
        connection.close()
    plain = http.client.HTTPConnection("127.0.0.1", proxied.port, timeout=PATIENCE_S)
    plain.request("GET", "/health")
    answer = plain.getresponse()
    assert answer.status == 400 and b"https://" in answer.read()
    plain.close()
    # Keys are for their owner alone, and in no output.
    for name in ("server.key", "ca.key"):
        assert (proxied.folder / name).stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in proxied.said


def test_only_paths_of_derd_pass_and_refusals_are_problems(proxied):
    for path in ("/", "/app.js", "/style.css", "/docs", "/health", "/v1/openapi.json"):
        assert proxied.request("GET", path)[0] == 200, path
    for path in ("/nothing", "/v2/clusters", "/v1", "/.git/config", "/app.js/x", "//v1/clusters", "/v1/../etc"):
        status, problem, head = proxied.request("GET", path)
        assert status in (400, 404) and problem["status"] == status, (path, status, problem)
        assert head["Content-Type"] == "application/problem+json" and problem["type"].startswith("urn:derd:problem:")
    status, problem, _ = proxied.request("POST", "/v1/accounts", {"name": "x" * 70000})
    assert status == 413 and problem["status"] == 413
    status, problem, _ = proxied.request("GET", "/v1/clusters", headers={"X-Long": "x" * 9000})
    assert status == 431 and problem["status"] == 431
    assert proxied.request("GET", "/v1/clusters/nowhere")[1]["detail"].startswith("There is no cluster"), \
        "what derd refuses comes through as it is"


def test_events_stream_through_and_the_audit_log_knows_the_client(proxied):
    connection = proxied.connect()
    connection.request("GET", "/v1/events?types=constraint", headers={
        "Authorization": f"Bearer {proxied.host.token}"})
    stream = connection.getresponse()
    assert stream.status == 200 and stream.headers["Content-Type"].startswith("text/event-stream")
    seen, here = [], threading.Event()

    def read():
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed below
            while line := stream.readline():
                if line.startswith(b"data:"):
                    seen.append(json.loads(line[5:]))
                    here.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    # What a client says of itself is replaced by the proxy, and never believed on the direct way.
    forged = {"X-Forwarded-For": "198.51.100.66", "Forwarded": "for=198.51.100.66", "X-Real-IP": "198.51.100.66"}
    path = f"{proxied.host.device('dut').path}/constraints"
    body = {"priority": 5, "maxActivePower": 1, "validFor": 600}
    status, made, _ = proxied.request("POST", path, body, headers=forged)
    assert status == 201
    assert here.wait(PATIENCE_S) and seen[0]["data"]["id"] == made["id"], "the event came while the stream is open"
    rows = proxied.request("GET", f"/v1/audit?target={made['id']}")[1]["items"]
    assert [row["from"] for row in rows] == ["127.0.0.1"]
    connection.sock.shutdown(socket.SHUT_RDWR)
    reader.join(PATIENCE_S)
    connection.close()


def test_the_audit_log_has_the_forwarded_address_and_no_forged_one(proxied):
    """Clients at other addresses of loopback: through the proxy they are seen as themselves."""
    path = f"{proxied.host.device('dut').path}/constraints"
    body = json.dumps({"priority": 5, "maxActivePower": 1, "validFor": 600})
    head = {"Authorization": f"Bearer {proxied.host.token}", "Content-Type": "application/json",
            "X-Forwarded-For": "198.51.100.66", "X-Forwarded-Proto": "https"}

    def post(connection):
        connection.request("POST", path, body, head)
        answer = connection.getresponse()
        made = json.loads(answer.read())
        connection.close()
        assert answer.status == 201, made
        return proxied.request("GET", f"/v1/audit?target={made['id']}")[1]["items"][0]["from"]

    through = proxied.connect()
    through.source_address = ("127.0.0.77", 0)
    assert post(through) == "127.0.0.77"
    # Directly, from an address that is no proxy's: the header is not looked at.
    direct = http.client.HTTPConnection("127.0.0.1", proxied.host.port, timeout=PATIENCE_S,
                                        source_address=("127.0.0.78", 0))
    assert post(direct) == "127.0.0.78"


def test_a_host_that_is_not_there_is_told_as_a_problem(proxied):
    proxied.host.stop()
    status, problem, head = proxied.request("GET", "/v1/clusters")
    assert status == 503 and problem["status"] == 503 and head["Retry-After"]
    assert head["Strict-Transport-Security"]
    proxied.host.start()
    assert proxied.request("GET", "/v1/clusters")[0] == 200


def test_what_does_not_fit_is_refused_before_anything_is_written(start_host, peer, tmp_path):
    host = start_host(one(peer, "plain_load"))
    folder, port = tmp_path / "proxy", free_port()
    refused = set_up(host, folder, port)
    assert refused.returncode == 1 and 'proxies = { "127.0.0.1" }' in refused.stderr and not folder.exists()
    host.write_site(behind(one(peer, "plain_load")))
    for words in (["--certificate", "x.pem"], ["--listen", "no"], ["--what"], ["word"]):
        assert set_up(host, folder, port, *words).returncode == 2, words
    assert set_up(host, folder, port, name="a b").returncode == 2
    assert set_up(host, folder, port, name="x;}").returncode == 2
    assert not folder.exists()
    # A certificate of one's own, and the key of another.
    assert set_up(host, folder, port).returncode == 0
    first = (folder / "ca.crt").read_text(), (folder / "server.crt").read_text()
    assert set_up(host, folder, port).returncode == 0
    again = (folder / "ca.crt").read_text(), (folder / "server.crt").read_text()
    assert first[0] == again[0] and first[1] != again[1], "the certificate is renewed, the CA stays"
    other = tmp_path / "other"
    assert set_up(host, other, port, name="192.0.2.7").returncode == 0
    mixed = set_up(host, folder, port, "--certificate", other / "server.crt", "--key", folder / "server.key")
    assert mixed.returncode == 1 and "do not belong together" in mixed.stderr
    own = set_up(host, folder, port, "--certificate", other / "server.crt", "--key", other / "server.key")
    assert own.returncode == 0 and str(other / "server.key") in (folder / "derd.conf").read_text()
    assert "CA of this machine" not in own.stdout
    assert pathlib.Path(folder / "nginx.conf").exists()


def test_a_page_behind_the_proxy_is_one_of_this_host_on_any_port(proxied):
    """A browser names the port in Origin and Host, where it is not 443."""
    login = {"account": "owner", "password": "not the one"}
    for origin, status in ((f"https://localhost:{proxied.port}", 401), ("https://localhost", 403),
                           (f"https://evil.example:{proxied.port}", 403)):
        answer = proxied.request("POST", "/v1/session", login, {"Origin": origin})
        assert answer[0] == status, answer[1]
    # As HTTP/2 has it, in :authority.
    url = f"https://localhost:{proxied.port}"
    done = subprocess.run(["curl", "-sS", "--http2", "--max-time", str(PATIENCE_S), "-o", "/dev/null",
                           "-w", "%{http_version} %{http_code}", "--cacert", proxied.ca, "-d", json.dumps(login),
                           "-H", "Content-Type: application/json", "-H", f"Origin: {url}", url + "/v1/session"],
                          capture_output=True, text=True)
    assert done.stdout == "2 401", done
