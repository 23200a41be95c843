"""The page's login in a real browser: what a person types, sees, and what is kept where."""

import pytest

from browser import CHROMIUM, Page
from harness import until
from logins import PASSWORD, set_password
from sites import one

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on this machine")


@pytest.fixture
def page(tmp_path):
    page = Page(tmp_path / "profile")
    yield page
    page.close()


def log_in(page, password, account="owner"):
    page.type("account", account)
    page.type("password", password)
    page.click("#login button")


def test_a_person_logs_in_sees_the_devices_stays_after_a_reload_and_logs_out(start_host, peer, page, tmp_path):
    host = start_host(one(peer))
    address = f"http://127.0.0.1:{host.port}/"
    set_password(host)
    host.device("dut").until_online()
    page.open(address)
    page.until_shown("Log in")
    page.picture(tmp_path / "entry.png")
    log_in(page, "wrong horse battery")
    page.until_shown("The account or the password is wrong.")
    assert page.run("document.getElementById('password').value") == ""
    log_in(page, PASSWORD)
    page.until_shown("Connected, told of each change")  # the event stream has the cookie too
    assert "Account owner" in page.shown() and "dut" in page.shown() and "Log in" not in page.shown()
    page.picture(tmp_path / "in.png")
    # Scripts see nothing of it, and nothing is kept where they could read it.
    assert page.run("document.cookie") == ""
    assert page.run("sessionStorage.length + localStorage.length") == 0
    page.open(address)
    page.until_shown("Account owner")
    page.click("#leave")
    page.until_shown("Or give a token")
    until(lambda: "has logged out" in host.log_text(), "the host knows")
    page.open(address)
    page.until_shown("Or give a token")
    assert not [error for error in page.errors if "Content Security Policy" in error]


def test_a_login_that_ends_is_told_and_a_token_does_as_before(start_host, peer, page):
    host = start_host(one(peer))
    set_password(host)
    page.open(f"http://127.0.0.1:{host.port}/")
    page.until_shown("Log in")
    log_in(page, PASSWORD)
    page.until_shown("Connected")
    set_password(host, text="another horse battery")
    page.until_shown("This login has ended; log in again.")
    page.type("token", host.token)
    page.click("#enter button")
    page.until_shown("Connected")
    assert page.run("document.getElementById('leave').innerText") == "Forget token"
    page.click("#leave")
    page.until_shown("Or give a token")
    for _ in range(30):
        log_in(page, "wrong horse battery")
        until(lambda: page.run("!document.querySelector('#login button').disabled"), "it was answered")
        if "Try again in" in page.shown():
            break
    page.until_shown("Too many wrong passwords")
    assert not [error for error in page.errors if "Content Security Policy" in error]
