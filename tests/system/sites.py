"""Site files for tests, as text."""

BATTERY = {0: 0, 1: 0, 2: 50, 10: 0, 11: 0, 12: 0, 13: 0, 14: 0, 15: 0, 16: 0,
           20: 0x4131, 21: 0, 22: 0, 23: 0}
LOAD = {0: 0, 1: 0, 11: 0, 12: 0}
INVERTER = {0: 0, 1: 0, 10: 0, 11: 0, 12: 0}
STATION = {0: 0, 1: 0, 2: 0xFFFF, 3: 230, 11: 0, 12: 0}
REGISTERS = {"plain_battery": BATTERY, "plain_load": LOAD, "plain_inverter": INVERTER,
             "plain_station": STATION, "plain_switching_station": {**STATION, 13: 3},
             "plain_must_run": LOAD}


def device(peer, key="dut", driver="plain_battery", unit=1, extra=""):
    return (f'{{ key = "{key}", driver = "{driver}", link = "tcp://127.0.0.1:{peer.port}", '
            f"unit = {unit}, {extra} }},\n")


def site(*devices, policies="", cluster=""):
    return ('return { http = { listen = "127.0.0.1:@HTTP@" }, store = { directory = "state" },\n'
            f'  clusters = {{ {{ key = "home", {cluster} devices = {{\n{"".join(devices)}}},\n'
            f"  policies = {{ {policies} }} }} }} }}\n")


def one(peer, driver="plain_battery", extra="", **more):
    """A site with one device, whose registers the peer has."""
    peer.unit(1, REGISTERS[driver])
    return site(device(peer, driver=driver, extra=extra), **more)
