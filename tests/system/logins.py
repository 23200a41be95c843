"""Passwords and browsers for tests."""

import http.client
import http.cookies
import json
import subprocess

from harness import DERD, PATIENCE_S

PASSWORD = "correct horse battery"


def set_password(host, *more, text=PASSWORD, site=None):
    """`derd password set`, as a program does it."""
    return subprocess.run([DERD, "password", "set", "--site", site or host.site_path, *more],
                          input=text + "\n", capture_output=True, text=True, check=False)


class Browser:
    """Keeps cookies as a browser does, and sends what a page of the host sends."""

    def __init__(self, host, address="127.0.0.1"):
        self.host, self.address, self.csrf = host, address, None
        self.cookies = http.cookies.SimpleCookie()

    def ask(self, method, path, body=None, **headers):
        """(status, body, headers)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=PATIENCE_S,
                                                source_address=(self.address, 0))
        fields = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        sent = [f"{name}={morsel.value}" for name, morsel in self.cookies.items()
                if path.startswith(morsel["path"])]
        if sent:
            fields["Cookie"] = "; ".join(sent)
        if method != "GET":
            fields.setdefault("Origin", f"http://127.0.0.1:{self.host.port}")
        if self.csrf and method != "GET":
            fields.setdefault("X-CSRF-Token", self.csrf)
        if body is not None:
            fields["Content-Type"] = "application/json"
        connection.request(method, path, json.dumps(body) if body is not None else None, fields)
        answer = connection.getresponse()
        text = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            self.cookies.load(line)
        connection.close()
        return answer.status, json.loads(text) if text else None, answer.headers

    def log_in(self, account="owner", password=PASSWORD, **headers):
        status, body, got = self.ask("POST", "/v1/session", {"account": account, "password": password},
                                     **headers)
        if status == 201:
            self.csrf = body["csrfToken"]
        return status, body, got
