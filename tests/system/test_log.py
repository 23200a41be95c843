"""The log of a host: its form, how much it says, changed while it runs."""

import json
import subprocess

from harness import DERD, until
from sites import one


def derd_log(host, *arguments):
    return subprocess.run([DERD, "log", "--site", host.site_path, *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def with_log(site, log):
    return site.replace("return {", f"return {{ log = {log},", 1)


def test_json_lines_name_the_request_and_the_level_changes_while_it_runs(start_host, peer):
    site = one(peer)
    host = start_host(with_log(site, '{ format = "json" }'))
    host.request("GET", "/v1/clusters", headers={"X-Request-Id": "look-here"})
    lines = until(lambda: [line for line in map(json.loads, host.log_text().splitlines())
                           if line.get("requestId") == "look-here"], "a line of the request")
    assert lines[0]["level"] == "debug" and lines[0]["subject"] == "api"

    # Less, by command; more, by command; the form too.
    assert derd_log(host).stdout == "level debug, format json\n"
    assert derd_log(host, "--level", "warning").stdout == "level warning, format json\n"
    host.request("GET", "/v1/clusters", headers={"X-Request-Id": "not-seen"})
    assert derd_log(host, "--level", "debug", "--format", "text").stdout == "level debug, format text\n"
    host.request("GET", "/v1/clusters", headers={"X-Request-Id": "seen-again"})
    until(lambda: "seen-again" in host.log_text(), "a line of the last request")
    assert "not-seen" not in host.log_text()

    # And by the site file.
    host.write_site(with_log(site, '{ level = "error", format = "json" }'))
    until(lambda: derd_log(host).stdout == "level error, format json\n", "the site file is taken")

    assert derd_log(host, "--level", "loud").returncode == 1
    assert derd_log(host, "--nonsense").returncode == 2
    host.stop()
    gone = derd_log(host)
    assert gone.returncode == 1 and "no host runs" in gone.stderr


def test_the_options_of_serve_are_checked(tmp_path):
    wrong = subprocess.run([DERD, "serve", "--site", tmp_path / "site.lua", "--log-format", "xml"],
                           capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2 and "text or json" in wrong.stderr
