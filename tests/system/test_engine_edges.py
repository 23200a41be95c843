"""The edges of the engine: what is read in blocks, values and identities of another connection or driver,
and what a changed driver means for the devices that it speaks to."""

import pathlib

from harness import until
from sites import LOAD, one

DRIVERS = pathlib.Path(__file__).parent / "drivers"


def plain(name, *changes):
    text = (DRIVERS / f"{name}.lua").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def reads_of(peer, address):
    return [entry for entry in peer.journal if entry[0] == "read" and entry[2] == address]


def until_reads(peer, address, count):
    until(lambda: len(reads_of(peer, address)) >= count, f"register {address} is read {count} times")


# --- blocks --------------------------------------------------------------------------------------

SLOW_NEIGHBOUR = """
    { name = "temperature", kind = "holding", address = 300, encoding = "int16", unit = "degC",
      period = 0.2 },
    { name = "voltageL1", kind = "holding", address = 400, encoding = "uint16", unit = "V",
      period = 3600 },
    { name = "voltageL2", kind = "holding", address = 500, encoding = "uint16", unit = "V",
      period = 3600 },
  },
  controls"""


def test_a_refused_register_does_not_shift_what_another_period_reads(start_host, peer):
    text = one(peer, "plain_load")
    peer.unit(1, {**LOAD, 400: 231, 500: 232})
    driver = plain("plain_load", ("\n  },\n  controls", SLOW_NEIGHBOUR))
    host = start_host(text, drivers={"plain_load": driver})
    dut = host.device("dut")
    until_reads(peer, 0, 3)
    values = dut.flexibility()["values"]
    assert (values["voltageL1"], values["voltageL2"]) == (231, 232)
