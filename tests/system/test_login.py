"""The login of the page on the real host: `derd password`, sessions, CSRF, guessing at passwords."""

import os
import pty
import re
import select
import signal
import subprocess
import termios

from events import Stream
from harness import DERD, PATIENCE_S, until
from logins import PASSWORD, Browser, set_password
from sites import one

LIMITS = "/v1/clusters/home/devices/dut/constraints"
LIMIT = {"priority": 1500, "maxActivePower": 1000, "validFor": 60}


def password(*words, site, text=""):
    return subprocess.run([DERD, "password", *words, "--site", site], input=text, capture_output=True,
                          text=True, check=False)


# --- derd password -------------------------------------------------------------------------------

def test_it_is_set_listed_and_removed_with_and_without_a_host(start_host, peer):
    host = start_host(one(peer))
    for running in (True, False):
        if not running:
            assert host.stop() == 0
        site = host.site_path
        assert "no account has a password" in password("list", site=site).stderr
        done = set_password(host, "--scopes", "read", "--max-priority", "1200")
        assert done.returncode == 0 and done.stdout == "", done
        assert "owner" in done.stderr and "read" in done.stderr and "1200" in done.stderr
        listed = password("list", site=site).stdout.splitlines()
        assert re.fullmatch(r"owner +1200 +20\d\d-\S+Z +read", listed[1].strip()), listed
        assert password("remove", site=site).returncode == 0
        again = password("remove", site=site)
        assert again.returncode == 1 and "has no password" in again.stderr
    host.start()


def test_what_cannot_be_one_is_told_before_anything_is_changed(start_host, peer):
    host = start_host(one(peer))
    for text, words in (("short\n", "at least 10 characters, this one has 5"), ("", "no password came"),
                        ("x" * 300 + "\n", "at most 256 bytes"), ("aaaaaaaaaaaaaaa\n", "different"),
                        ("correct horse\nbattery\n", "on one line")):
        done = password("set", site=host.site_path, text=text)
        assert done.returncode == 1 and words in done.stderr, (text, done)
    done = password("set", "--account", "nobody", site=host.site_path, text=PASSWORD)
    assert done.returncode == 1 and 'no account "nobody"' in done.stderr
    for words in (["set", "correct horse battery"], ["set", "--max-priority", "x"], ["set", "--scopes", "all,x"],
                  ["remove", "--scopes", "read"], ["frobnicate"], []):
        assert password(*words, site=host.site_path, text=PASSWORD).returncode == 2, words
    assert "no account has a password" in password("list", site=host.site_path).stderr


class Terminal:
    """`derd password set` as a person sees it."""

    def __init__(self, site):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([DERD, "password", "set", "--site", site], stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True,
                                        preexec_fn=self.as_at_a_terminal)
        os.close(slave)
        self.shown = ""

    @staticmethod
    def as_at_a_terminal():
        """What runs in the background ignores this signal, and so would its children."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def until(self, words):
        while words not in self.shown:
            ready, _, _ = select.select([self.master], [], [], PATIENCE_S)
            assert ready, self.shown
            try:
                self.shown += os.read(self.master, 4096).decode()
            except OSError:  # it has ended
                assert words in self.shown, self.shown

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        status = self.process.wait(PATIENCE_S)
        os.close(self.master)
        return status


def test_a_terminal_does_not_show_it(start_host, peer):
    host = start_host(one(peer))
    for second, status in ((PASSWORD, 0), ("correct horse batterz", 1)):
        terminal = Terminal(host.site_path)
        terminal.until("Password for owner: ")
        terminal.type(PASSWORD + "\n")
        terminal.until("Once more: ")
        terminal.type(second + "\n")
        terminal.until("is set" if status == 0 else "not alike")
        assert terminal.end() == status
        assert "horse" not in terminal.shown
    terminal = Terminal(host.site_path)
    terminal.until("Password for owner: ")
    terminal.process.send_signal(signal.SIGINT)  # also when it comes just before it reads
    assert terminal.process.wait(PATIENCE_S) == -signal.SIGINT
    assert termios.tcgetattr(terminal.master)[3] & termios.ECHO
    os.close(terminal.master)


def test_the_audit_log_tells_who_set_one_and_who_changed_something_by_it_but_no_secret(start_host, peer):
    host = start_host(one(peer))
    set_password(host, "--scopes", "all")
    browser = Browser(host)
    assert browser.log_in()[0] == 201
    assert browser.ask("POST", "/v1/accounts", {"key": "net", "name": "Net"})[0] == 201
    assert password("remove", site=host.site_path).returncode == 0
    rows = {row["action"]: row for row in host.body("/v1/audit")["items"]}
    put, made, removed = (rows[name] for name in ("password set", "POST /v1/accounts", "password remove"))
    assert put["who"]["kind"] == "console" and put["target"]["name"] == "owner", put
    assert put["before"] is None and put["after"]["scopes"][0] == "read"
    assert made["who"]["kind"] == "session" and made["who"]["account"] == "owner", made
    assert removed["before"]["maxPriority"] == 1999 and removed["after"] is None
    assert "horse" not in str(rows) and "argon2" not in str(rows)


# --- sessions ------------------------------------------------------------------------------------

def test_a_browser_logs_in_changes_something_watches_and_logs_out(start_host, peer):
    host = start_host(one(peer))
    browser = Browser(host)
    assert browser.log_in()[0] == 401  # there is no default password
    assert set_password(host).returncode == 0
    status, body, headers = browser.log_in()
    assert status == 201 and body["account"] == "owner" and body["scopes"] == ["read", "control"], body
    assert body["maxPriority"] == 1999
    session, known = headers.get_all("Set-Cookie")
    assert re.fullmatch(r"derd_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", session)
    assert re.fullmatch(r"derd_browser=[\w-]{43}; Path=/v1/session; Max-Age=34560000; HttpOnly; SameSite=Strict",
                        known)
    host.device("dut").until_online()
    assert browser.ask("GET", "/v1/clusters")[0] == 200
    status, made, _ = browser.ask("POST", LIMITS, LIMIT)
    assert status == 201 and made["createdBy"] == "account:owner", made
    for headers, words in (({"X_CSRF_Token": None}, "there is none"), ({"X_CSRF_Token": "x"}, "not that of"),
                           ({"Origin": "http://evil.example"}, "evil.example"), ({"Origin": "null"}, "null")):
        bare = Browser(host)
        bare.cookies, bare.csrf = browser.cookies, None
        headers.setdefault("X_CSRF_Token", browser.csrf)
        status, problem, _ = bare.ask("POST", LIMITS, LIMIT, **headers)
        assert status == 403 and words in problem["detail"], (headers, problem)
    stream = Stream(host, cookie=f"derd_session={browser.cookies['derd_session'].value}")
    assert stream.status == 200
    assert browser.ask("DELETE", f"{LIMITS}/{made['id']}")[0] in (200, 204)
    stream.until("constraint")
    assert browser.ask("DELETE", "/v1/session")[0] == 204
    assert stream.ended.wait(PATIENCE_S), "a stream ends with its session"
    stream.close()
    assert browser.ask("GET", "/v1/clusters")[0] == 401


def test_a_new_password_ends_the_sessions_of_the_old_one_and_a_restart_all(start_host, peer):
    host = start_host(one(peer))
    set_password(host)
    first, second = Browser(host), Browser(host)
    assert first.log_in()[0] == second.log_in()[0] == 201
    set_password(host, text="another horse battery")
    assert first.ask("GET", "/v1/clusters")[0] == second.ask("GET", "/v1/clusters")[0] == 401
    assert first.log_in()[0] == 401
    assert first.log_in(password="another horse battery")[0] == 201
    assert host.stop() == 0
    host.start()
    assert first.ask("GET", "/v1/session")[0] == 401
    assert first.log_in(password="another horse battery")[0] == 201
    assert password("remove", site=host.site_path).returncode == 0
    assert first.ask("GET", "/v1/session")[0] == 401


def test_behind_a_proxy_that_speaks_tls_the_cookie_is_secure_and_the_client_counts(start_host, peer):
    host = start_host(one(peer).replace("http = {", 'http = { proxies = { "127.0.0.1" },', 1))
    set_password(host)
    via = {"X_Forwarded_For": "192.0.2.7", "X_Forwarded_Proto": "https"}
    _, _, headers = Browser(host).log_in(**via)
    assert all(line.endswith("; SameSite=Strict; Secure") for line in headers.get_all("Set-Cookie"))
    _, _, headers = Browser(host, "127.0.0.2").log_in(**via)  # nobody's word counts
    assert all(line.endswith("; SameSite=Strict") for line in headers.get_all("Set-Cookie"))
    attacker = {"X_Forwarded_For": "192.0.2.66"}
    until(lambda: Browser(host).log_in(password="x", **attacker)[0] == 429, "the attacker waits")
    assert Browser(host).log_in(**via)[0] == 201
    assert '"192.0.2.66"' not in host.log_text() and "from 192.0.2.66" in host.log_text()


# --- guessing ------------------------------------------------------------------------------------

def test_who_guesses_waits_and_the_owner_elsewhere_does_not(start_host, peer):
    host = start_host(one(peer))
    set_password(host)
    attacker, owner = Browser(host, "127.0.0.66"), Browser(host, "127.0.0.7")
    statuses = [attacker.log_in(password="wrong horse battery")[0] for _ in range(5)]
    assert statuses == [401] * 5
    status, problem, headers = until(
        lambda: (got := attacker.log_in(password="wrong horse battery"))[0] == 429 and got, "429")
    assert int(headers["Retry-After"]) >= 1 and problem["type"] == "urn:derd:problem:too-many-requests"
    assert owner.log_in()[0] == 201
    assert owner.ask("GET", "/v1/clusters")[0] == 200
    assert host.get("/v1/clusters")[0] == 200


def test_many_addresses_slow_an_account_but_not_a_browser_that_was_let_in_before(start_host, peer):
    host = start_host(one(peer))
    set_password(host)
    owner = Browser(host, "127.0.0.7")
    assert owner.log_in()[0] == 201
    assert owner.ask("DELETE", "/v1/session")[0] == 204
    until(lambda: 429 in [Browser(host, f"127.0.3.{i}").log_in(password="wrong horse battery")[0]
                          for i in range(1, 30)], "the account waits")
    owner.address = "127.0.0.99"  # wherever it is now
    assert owner.log_in()[0] == 201
    # Anyone else waits a minute at most; a new password begins with a clean sheet.
    status, _, headers = until(lambda: (got := Browser(host, "127.0.0.8").log_in(password="wrong"))[0] == 429 and got,
                               "a stranger waits")
    assert 1 <= int(headers["Retry-After"]) <= 60
    set_password(host, text="another horse battery")
    assert Browser(host, "127.0.0.9").log_in(password="another horse battery")[0] == 201
