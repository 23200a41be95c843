"""Devices that speak HTTP, UDP and MQTT beside one that speaks Modbus, on one host: each fails and comes
back on its own, limits hold, and secrets stay secret."""

import subprocess

import pytest
from harness import DERD, ROOT, until
from talk_peers import Broker, HttpMeter, KebaStation

HTTP_METER = """
local function read(dev)
  local answer, why = dev.http:get("/status")
  if not answer then return nil, why end
  if answer.status ~= 200 then return nil, "status " .. answer.status end
  local status
  status, why = answer:json()
  if not status then return nil, why end
  assert(status.none == json.null)
  return { activePower = status.power }
end
return { api = 1, name = "http_meter", version = "1", manufacturer = "A", models = { "A" },
  type = "meter", link = { kinds = { "http" }, auth = "basic", timeout = 2 },
  points = { { name = "activePower", kind = "value", period = 0.2 } }, hooks = { read = read } }
"""
MQTT_METER = """
local function read(dev)
  local payload, age = dev.mqtt:last("power")
  if not payload then return nil, age end
  return { activePower = json.decode(payload) }, age
end
return { api = 1, name = "mqtt_meter", version = "1", manufacturer = "A", models = { "A" },
  type = "meter", link = { kinds = { "mqtt" }, subscribe = { "power" } },
  points = { { name = "activePower", kind = "value", period = 2 } }, hooks = { read = read } }
"""
PLAIN = """
return { api = 1, name = "plain", version = "1", manufacturer = "A", models = { "A" }, type = "meter",
  link = { kinds = { "tcp" } },
  points = { { name = "activePower", address = 0, encoding = "int16", period = 0.2 } } }
"""


def keba():
    """The shipped driver, but answered to at any port of ours: tests share one machine."""
    text = (ROOT / "drivers/keba_p30.lua").read_text()
    assert "localPort = 7090, " in text
    return text.replace("localPort = 7090, ", "")


@pytest.fixture
def peers(tmp_path, peer):
    peer.unit(1, {0: 700})
    meter, station, broker = HttpMeter(password="s3cret-word"), KebaStation(), Broker(tmp_path)
    yield peer, meter, station, broker
    meter.stop()
    station.stop()
    broker.kill()


def site(modbus, meter, station, broker):
    return f"""return {{ http = {{ listen = "127.0.0.1:@HTTP@" }}, store = {{ directory = "store" }},
      clusters = {{ {{ key = "home", devices = {{
        {{ key = "plain", driver = "plain", link = "tcp://127.0.0.1:{modbus.port}" }},
        {{ key = "web", driver = "http_meter", link = "http://127.0.0.1:{meter.port}",
          username = "admin", password = {{ file = "web.password" }} }},
        {{ key = "car", driver = "keba_p30", link = "udp://127.0.0.1:{station.port}" }},
        {{ key = "plug", driver = "mqtt_meter", link = "mqtt://127.0.0.1:{broker.port}/house/plug" }},
      }} }} }} }}"""


def connection(device, due):
    return until(lambda: device.flexibility()["connection"] == due and device.flexibility(),
                 f"{device.path} is {due}")


def power(device, due):
    return until(lambda: device.flexibility()["activePower"] == due, f"{device.path} takes {due} W")


def test_devices_of_every_kind_fail_and_come_back_on_their_own(start_host, peers, tmp_path):
    modbus, meter, station, broker = peers
    (tmp_path / "web.password").write_text("s3cret-word\n")
    drivers = {"http_meter": HTTP_METER, "mqtt_meter": MQTT_METER, "plain": PLAIN, "keba_p30": keba()}
    host = start_host(site(*peers), drivers=drivers)
    plain, web, car, plug = (host.device(key) for key in ("plain", "web", "car", "plug"))
    plain.until_online()
    power(web, 1234)
    car.until_online()
    broker.publish("house/plug/power", 42)
    until(lambda: broker.publish("house/plug/power", 42) or
          plug.flexibility()["activePower"] == 42, "the plug's power arrives")

    # A limit is carried out in the station's own words, the way back first, and read back.
    assert car.post(priority=3000, maxActivePower=8280, validFor=3600)[0] == 201
    until(lambda: car.flexibility()["command"]["state"] == "confirmed", "the limit is confirmed")
    assert station.commands() == ["failsafe 60 6000 0", "curr 12000", "ena 1"]

    # The station loses its power; meanwhile the limit becomes another one. That one comes first.
    station.stop()
    connection(car, "offline")
    assert car.flexibility()["command"]["state"] == "unreachable"
    assert car.post(priority=3001, maxActivePower=4830, validFor=3600)[0] == 201
    station.start()
    until(lambda: len(station.commands()) >= 3, "the newest limit is sent")
    assert station.commands()[:3] == ["failsafe 60 6000 0", "curr 7000", "ena 1"]
    connection(car, "online")

    # The others, one after the other; the Modbus meter never misses a poll.
    meter.stop()
    connection(web, "offline")
    meter.power = 4321
    meter.start()
    power(web, 4321)
    broker.kill()
    connection(plug, "offline")
    broker.start()
    until(lambda: broker.publish("house/plug/power", 43) or
          plug.flexibility()["activePower"] == 43, "the plug's power arrives again")
    assert plain.flexibility()["connection"] == "online"
    assert "home/plain: offline" not in host.log_text()

    # The password changes on the device, then in its file; it is never shown.
    meter.password = "an0ther-word"
    connection(web, "offline")
    (tmp_path / "web.password").write_text("an0ther-word\n")
    power(web, 4321)
    shown = host.log_text() + str(host.body("/v1/clusters/home/devices")) + str(web.flexibility())
    assert "s3cret-word" not in shown and "an0ther-word" not in shown


def test_secrets_do_not_stand_in_the_site_file(tmp_path):
    path = tmp_path / "site.lua"
    path.write_text("""return { store = { directory = "store" }, clusters = { { key = "home", devices = {
      { key = "a", driver = "x", link = "http://127.0.0.1", password = "hunter2" },
      { key = "b", driver = "x", link = "http://127.0.0.1:81", password = { file = "not.there" } },
      { key = "c", driver = "x", link = "mqtt://127.0.0.1/a/#" },
      { key = "d", driver = "x", link = "gopher://127.0.0.1" },
      { key = "e", driver = "x", link = "udp://127.0.0.1:1", reach = { "1.2.3.4/99" } },
    } } } }""")
    done = subprocess.run([DERD, "check", path], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'password = { file = "NAME" }' in done.stdout and "hunter2" not in done.stdout
    for place in ("devices[3].link", "devices[4].link", "devices[5].reach[1]"):
        assert place in done.stdout, done.stdout
