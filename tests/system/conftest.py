import pathlib

import pytest

from harness import Host, Simulator
from modbus_peer import Peer

PLAIN_DRIVERS = pathlib.Path(__file__).parent / "drivers"


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long counts")


@pytest.fixture
def full(request):
    return request.config.getoption("--full")


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture
def start_host(tmp_path):
    """start_host(site, drivers={name: text}, policies={...}) -> Host; stopped and looked over after."""
    hosts = []

    def start(site, drivers=(), policies=(), arguments=(), max_priority=3999):
        (tmp_path / "drivers").mkdir(exist_ok=True)
        (tmp_path / "policies").mkdir(exist_ok=True)
        for path in PLAIN_DRIVERS.glob("*.lua"):
            (tmp_path / "drivers" / path.name).write_text(path.read_text())
        for name, text in dict(drivers).items():
            (tmp_path / "drivers" / f"{name}.lua").write_text(text)
        for name, text in dict(policies).items():
            (tmp_path / "policies" / f"{name}.lua").write_text(text)
        host = Host(tmp_path, site, max_priority, arguments)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        status = host.stop()
        assert status == 0, f"the host ended with {status}\n" + host.log_text()[-4000:]


@pytest.fixture
def start_simulator(tmp_path):
    simulators = []

    def start(home):
        simulators.append(Simulator(tmp_path, home))
        return simulators[-1]

    yield start
    for simulator in simulators:
        if simulator.process.poll() is None:
            assert simulator.stop() == 0
