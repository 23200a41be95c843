"""The simulated home and a host on it, for tests that talk to the whole API."""

import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import homes  # noqa: E402
from harness import Host, Simulator, until  # noqa: E402,F401
from logins import set_password  # noqa: E402


# A cluster with a grid operator's box that speaks through the API, and nothing that it could limit.
DEPOT = """{ key = "depot", gridOperator = { source = "api",
  failsafe = { maxActivePower = 4200, minActivePower = -6000 } } }"""


@contextlib.contextmanager
def home_and_host(folder, **site):
    """(simulator, host); every device is online. `folder`: an empty one."""
    (folder / "simulator").mkdir()
    simulator = Simulator(folder / "simulator", homes.home())
    try:
        # As many wrong tokens and requests as a fuzzer sends are no attack here.
        patient = "http = { rate = 100000, burst = 100000, guesses = 100000,"
        text = homes.site(simulator.ports, policy="startDelay = 0", clusters=DEPOT, **site)
        host = Host(folder, text.replace("http = {", patient))
        try:
            assert set_password(host).returncode == 0  # that of the example of a login
            for item in host.body("/v1/clusters/home/devices")["items"]:
                host.device(item["key"]).until_online()
            yield simulator, host
        finally:
            assert host.stop() == 0, host.log_text()[-4000:]
    finally:
        simulator.stop()
