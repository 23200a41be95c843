"""The simulated home for tests: sun and load hold still, the clock runs as ours, ports are free ones.
The devices are those of the demo, by real protocols through the shipped drivers."""

GRID, BATTERY, ROOF, WALLBOX = "grid", "battery", "roof", "wallbox"
SERIALS = {GRID: "21450731", BATTERY: "A2311105873", ROOF: "34120967", WALLBOX: "2203114562"}


def home(sun=8000, load=500, phases=3, wired=3, car_current=16, battery=True, hybrid_peak=0,
         storage=False, ports=(0, 0, 0)):
    """`phases` are the car's, `wired` those of the charging station; `hybrid_peak`: W of panels at
    the hybrid; `storage`: the roof's inverter has a battery of its own."""
    hybrid = f"""
    {{ make = "sungrow_sh", name = "battery", listener = "gateway", unit = 2, ratedPower = 5000,
      capacity = 9600, stateOfCharge = 55, maxChargePower = 2000, maxDischargePower = 2000,
      peakPower = {hybrid_peak}, lag = 0.2, serial = "{SERIALS[BATTERY]}" }},""" if battery else ""
    stored = ("storage = { capacity = 10000, stateOfCharge = 50, maxChargePower = 4000, "
              "maxDischargePower = 4000 }") if storage else ""
    return f"""return {{
  seed = 3, sun = {{ constant = {sun} }}, load = {{ constant = {load} }},
  listeners = {{ {{ name = "gateway", port = {ports[0]} }}, {{ name = "roof", port = {ports[1]} }},
                {{ name = "wallbox", port = {ports[2]} }} }},
  devices = {{
    {{ make = "eastron_sdm630", name = "grid", listener = "gateway", unit = 1, noise = 3,
      serial = "{SERIALS[GRID]}" }},{hybrid}
    {{ make = "sunspec_inverter", name = "roof", listener = "roof", unit = 126, ratedPower = 8000,
      lag = 0.2, serial = "{SERIALS[ROOF]}", {stored} }},
    {{ make = "abb_terra_ac", name = "wallbox", listener = "wallbox", unit = 1, phases = {wired},
      maxCurrent = 16, currentLimit = 0, fallbackCurrent = 0, lag = 0.2,
      serial = "{SERIALS[WALLBOX]}",
      car = {{ phases = {phases}, maxCurrent = {car_current}, capacity = 60000, stateOfCharge = 40,
              startDelay = 1 }} }},
  }} }}
"""


def site(ports, policy=None, battery=True, storage=False, wallbox="", roof="", clusters=""):
    """`policy`: further parameters of solar_charging, or None for no policy; `wallbox`, `roof`:
    further fields of the device; `clusters`: further ones."""
    gateway, rooftop, station = (f"tcp://127.0.0.1:{ports[name]}"
                                 for name in ("gateway", "roof", "wallbox"))
    hybrid = f"""
      {{ key = "battery", driver = "sungrow_hybrid", as = "battery", link = "{gateway}", unit = 2,
        parameters = {{ maxChargePower = 2000, maxDischargePower = 2000, capacity = 9600 }} }},
      {{ key = "hybrid", driver = "sungrow_hybrid", as = "inverter", link = "{gateway}", unit = 2 }},
      {{ key = "hybrid_meter", driver = "sungrow_hybrid", as = "meter", link = "{gateway}",
        unit = 2 }},""" if battery else ""
    stored = f"""
      {{ key = "storage", driver = "sunspec", as = "battery", link = "{rooftop}", unit = 126 }},
      """ if storage else ""
    solar = f"""
      {{ key = "solar", policy = "solar_charging", priority = 500, grid = "grid",
        chargers = {{ "wallbox" }}, {'battery = "battery",' if battery else ""} {policy} }}
    """ if policy is not None else ""
    return f"""return {{ http = {{ listen = "127.0.0.1:@HTTP@" }}, store = {{ directory = "state" }},
  clusters = {{ {{ key = "home", devices = {{
      {{ key = "grid", driver = "eastron_sdm", role = "grid", link = "{gateway}",
        unit = 1 }},{hybrid}{stored}
      {{ key = "roof", driver = "sunspec", as = "inverter", link = "{rooftop}", unit = 126, {roof} }},
      {{ key = "wallbox", driver = "abb_terra_ac", link = "{station}", unit = 1, {wallbox} }},
    }}, policies = {{ {solar} }} }}, {clusters} }} }}
"""
