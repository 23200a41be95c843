"""Drivers that ship against the simulated makes, over real sockets."""

import pathlib

from harness import until
from sites import site

DRIVERS = pathlib.Path(__file__).resolve().parents[2] / "drivers"

HOME = """return { load = { constant = 500 }, listeners = { { name = "box" } }, devices = {
  { make = "abb_terra_ac", name = "box", listener = "box", unit = 1, lag = 0, currentLimit = 0,
    car = { capacity = 60000, startDelay = 0 } } } }"""


def test_an_abb_station_confirms_its_limit_by_the_register_that_shows_it(
        start_host, start_simulator):
    home = start_simulator(HOME)
    text = (DRIVERS / "abb_terra_ac.lua").read_text()
    entry = ('{ key = "box", driver = "abb_terra_ac", unit = 1, '
             f'link = "tcp://127.0.0.1:{home.ports["box"]}" }},')
    box = start_host(site(entry), drivers={"abb_terra_ac": text}).device("box")
    box.until_online()
    assert box.post(priority=5, validFor=600, activePower=6000)[0] == 201
    until(lambda: box.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    until(lambda: (box.flexibility()["activePower"] or 0) > 5000, "the car charges")
    assert box.post(priority=3000, validFor=600, maxActivePower=0)[0] == 201
    until(lambda: box.flexibility()["activePower"] == 0 and
          box.flexibility()["command"]["state"] == "confirmed", "the pause is confirmed")
