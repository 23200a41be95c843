"""What systemd is told: ready, alive while the loop turns, stopping (Type=notify, WatchdogSec)."""

import os
import signal
import socket

import pytest

from sites import one


@pytest.fixture
def notified(tmp_path, monkeypatch):
    """What a service with Type=notify and WatchdogSec=0.2 finds in its environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield server


def until_said(notified, word):
    """Others may come before it."""
    while word not in notified.recv(4096).decode().split("\n"):
        pass


def test_systemd_hears_ready_alive_and_stopping(start_host, peer, notified):
    host = start_host(one(peer))
    until_said(notified, "READY=1")
    for _ in range(3):
        until_said(notified, "WATCHDOG=1")
    host.process.terminate()
    until_said(notified, "STOPPING=1")


def test_a_host_that_was_started_again_says_so(start_host, peer, notified):
    host = start_host(one(peer))
    until_said(notified, "READY=1")
    os.kill(host.pid_of_child(), signal.SIGKILL)
    until_said(notified, "READY=1")
