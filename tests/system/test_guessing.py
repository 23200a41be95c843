"""Guessing at tokens and passwords is slowed, per address and per account, and locks nobody out. The requests
come from addresses of our own choice: 127.0.0.0/8 is this machine."""

import http.client
import json

from harness import until
from sites import one


def ask(host, path, address, token=None, body=None, headers=()):
    """(status, body, headers) of a request from that address."""
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=60, source_address=(address, 0))
    fields = dict(headers)
    if token:
        fields["Authorization"] = f"Bearer {token}"
    if body is not None:
        fields["Content-Type"] = "application/json"
    connection.request("GET" if body is None else "POST", path, json.dumps(body) if body is not None else None,
                       fields)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None, answer.headers


def guess(host, address, token="derd_wrong"):
    return ask(host, "/v1/clusters", address, token)


def wrong_secret(token):
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def test_wrong_tokens_are_slowed_and_the_right_one_never(start_host, peer):
    host = start_host(one(peer))
    for _ in range(5):
        assert guess(host, "127.0.0.66")[0] == 401
    status, problem, headers = until(lambda: (got := guess(host, "127.0.0.66"))[0] == 429 and got, "429")
    assert problem["type"] == "urn:derd:problem:too-many-requests" and int(headers["Retry-After"]) >= 1
    # Neither at that address, where it may be used as well, nor elsewhere; no token at all is no guess.
    for address in ("127.0.0.66", "127.0.0.1"):
        assert ask(host, "/v1/clusters", address, host.token)[0] == 200
        assert ask(host, "/v1/clusters", address)[0] == 401
        assert ask(host, "/health", address, "derd_wrong")[0] == 200
    assert guess(host, "127.0.0.67")[0] == 401
    # Who waits is looked at again, and must then wait longer.
    until(lambda: guess(host, "127.0.0.66")[0] == 401, "it is looked at again")
    assert until(lambda: (got := guess(host, "127.0.0.66"))[0] == 429 and got, "429")


def test_wrong_secrets_for_a_token_are_counted_for_its_account_wherever_they_come_from(start_host, peer):
    host = start_host(one(peer))
    wrong = wrong_secret(host.token)
    seen = []
    for i in range(1, 30):  # one from each address: none of them is slowed for itself
        seen.append(guess(host, f"127.0.1.{i}", wrong)[0])
    assert seen[:20] == [401] * 20 and 429 in seen[20:], seen
    assert guess(host, "127.0.1.1")[0] == 401  # one of nobody's
    assert ask(host, "/v1/clusters", "127.0.2.1", host.token)[0] == 200


def test_the_number_is_the_site_files_choice(start_host, peer):
    host = start_host(one(peer).replace("http = {", "http = { guesses = 50,", 1))
    for _ in range(50):
        assert guess(host, "127.0.0.66")[0] == 401
    assert until(lambda: guess(host, "127.0.0.66")[0] == 429, "429")
