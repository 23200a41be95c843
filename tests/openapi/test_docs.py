"""/docs: everything comes from this host, under a policy that lets nothing else in, and Swagger UI is what npm
has, unchanged."""

import os
import pathlib
import re
import urllib.request

import pytest

from harness import ROOT

POLICY = ("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
          "object-src 'none'")


def fetch(host, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{host.port}{path}") as answer:
        return answer.headers, answer.read().decode()


def test_all_that_the_page_loads_is_there_and_may_be_kept(host):
    headers, page = fetch(host, "/docs")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    names = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"/docs.js", "/docs.css", "/swagger-ui.js", "/swagger-ui.css"} <= set(names)
    kinds = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
             ".svg": "image/svg+xml", ".json": "application/json", "": "text/html; charset=utf-8"}
    for name in names:
        headers, text = fetch(host, name)
        assert headers["Content-Type"] == kinds[pathlib.PurePath(name).suffix], name
        assert headers["Content-Security-Policy"] == POLICY, name
        assert headers["ETag"] and headers["Cache-Control"] == "no-cache", name
        assert text, name


def test_nothing_runs_or_is_styled_inside_the_page(host):
    _, page = fetch(host, "/docs")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:", page)
    assert not re.search(r"https?://", page)


def test_our_script_asks_nobody_outside():
    for name in ("docs.js", "docs.css"):
        text = (ROOT / "web" / name).read_text()
        assert not re.search(r"https?://|eval\(|innerHTML", text), name
    assert "validatorUrl: null" in (ROOT / "web/docs.js").read_text()


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "web/swagger-ui").iterdir()))
def test_swagger_ui_is_what_npm_has(name):
    package = pathlib.Path(os.environ["NODE_PATH"]) / "swagger-ui-dist"
    assert (ROOT / "web/swagger-ui" / name).read_bytes() == (package / name).read_bytes()
