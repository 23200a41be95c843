"""How often one token may ask, over REST."""

import subprocess

from events import Stream
from harness import DERD, until
from sites import one

SLOW = 'http = { rate = 0.5, burst = 6,'


def limited(peer):
    return one(peer).replace("http = {", SLOW, 1)


def refused(host):
    """The first 429 when asking again and again: its body and headers."""
    _, body, headers = until(lambda: (got := host.get("/v1/clusters"))[0] == 429 and got, "429")
    return body, headers


def test_a_token_that_asks_too_often_is_told_how_long_to_wait_and_then_served(start_host, peer):
    host = start_host(limited(peer))
    other = host.make_token("other", 999)
    for _ in range(6):
        assert host.get("/v1/clusters")[0] == 200
    problem, headers = refused(host)
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == 429 and problem["type"] == "urn:derd:problem:too-many-requests"
    assert "http.rate" in problem["detail"] and '"test"' in problem["detail"]
    assert 1 <= int(headers["Retry-After"]) <= 2
    # Another token is not concerned, and neither is who needs none.
    assert host.request("GET", "/v1/clusters", token=other)[0] == 200
    for _ in range(30):
        assert host.get("/health")[0] == 200  # with the token that asks too often
        assert host.request("GET", "/ready", token="")[0] == 200
        assert host.request("GET", "/", token="")[0] == 200
    # Every path counts, also those that are not there; a wrong token is 401 and counts for nobody.
    assert host.get("/v1/nothing")[0] in (404, 429)
    assert host.request("GET", "/v1/clusters", token="derd_wrong")[0] == 401
    until(lambda: host.get("/v1/clusters")[0] == 200, "it is served again")


def test_a_stream_counts_once(start_host, peer):
    host = start_host(limited(peer))
    stream = Stream(host)
    for _ in range(5):
        assert host.get("/v1/clusters")[0] == 200
    refused(host)
    seen = stream.comments  # it goes on though its token may not ask now
    until(lambda: stream.comments > seen, "the stream says that it is there")
    stream.close()


def test_what_the_site_file_says_is_checked(tmp_path, peer):
    path = tmp_path / "site.lua"
    path.write_text(one(peer).replace("http = {", 'http = { rate = 0, burst = "many",', 1))
    said = subprocess.run([DERD, "check", path], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "http.rate" in said.stdout + said.stderr and "http.burst" in said.stdout + said.stderr
