"""The kit for authors, as they use it: new, check, test, probe, record."""

import re
import socket
import struct
import subprocess

import pytest

from harness import DERD, ROOT
from talk_peers import HttpMeter

METER = """return {
  api = 1, name = "acme", version = "1", manufacturer = "Acme", models = { "M1" }, type = "meter",
  link = { kinds = { "tcp" }, timeout = 0.3 },
  points = {
    { name = "activePower", address = 0, encoding = "int16", scale = 10, notAvailable = { 0x8000 } },
    { name = "energyImport", address = 1, encoding = "uint32", unit = "kWh" },
  },%s
}
"""
SPEC = """return { driver = "acme", fixtures = { { name = "manual", registers = {
  holding = { [0] = %s, [1] = { 1, 0 } } }, expect = { %s } } } }
"""
GOOD = "activePower = 1500, energyImport = 65536000"


def derd(*arguments, cwd=None):
    return subprocess.run([DERD, *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          timeout=600)


@pytest.fixture
def author(tmp_path):
    """author(driver, spec) puts both where an author has them; gives the driver's path."""
    def put(driver, spec=None):
        (tmp_path / "drivers/spec").mkdir(parents=True, exist_ok=True)
        (tmp_path / "drivers/acme.lua").write_text(driver)
        if spec:
            (tmp_path / "drivers/spec/acme.lua").write_text(spec)
        return tmp_path / "drivers/acme.lua"
    return put


def run_test(path, *more):
    return derd("test", path, "--polls", "20", *more)


def test_a_new_driver_passes_check_and_test_as_it_is(tmp_path):
    made = derd("new", "driver", "acme_meter", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert derd("check", "drivers", cwd=tmp_path).returncode == 0
    tested = derd("test", "acme_meter", "--polls", "20", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "FAIL" not in tested.stdout and ", 0 failed: acme_meter" in tested.stdout


def test_a_new_policy_passes_check_as_it_is(tmp_path):
    assert derd("new", "policy", "peak", "--to", tmp_path / "policies").returncode == 0
    assert derd("check", tmp_path / "policies").returncode == 0


def test_new_never_overwrites(tmp_path):
    (tmp_path / "drivers").mkdir()
    mine = tmp_path / "drivers/acme.lua"
    mine.write_text("mine")
    done = derd("new", "driver", "acme", cwd=tmp_path)
    assert done.returncode == 1 and "there already" in done.stderr
    assert mine.read_text() == "mine"
    assert derd("new", "driver", "Acme Meter", cwd=tmp_path).returncode == 2


def test_every_command_of_the_kit_explains_itself():
    for command in ("new", "probe", "record", "test"):
        told = derd(command, "--help")
        assert told.returncode == 0 and told.stdout.startswith(f"usage: derd {command}")
        assert derd(command).returncode == 2
        assert derd(command, "--nonsense").returncode == 2


def test_a_right_driver_with_a_full_spec_passes(author):
    done = run_test(author(METER % "", SPEC % ("150", GOOD)))
    assert done.returncode == 0, done.stdout
    quiet = run_test(author(METER % ""), "--quiet")
    assert len(quiet.stdout.splitlines()) == 1, quiet.stdout


def test_a_wrong_value_is_told_with_register_raw_expected_and_got(author):
    done = run_test(author(METER % "", SPEC % ("150", "activePower = 150, energyImport = 65536000")))
    assert done.returncode == 1
    assert "activePower (holding register 0, raw 0x0096): expected 150, got 1500" in done.stdout


def test_a_spec_that_leaves_a_point_out_fails(author):
    done = run_test(author(METER % "", SPEC % ("150", "activePower = 1500")))
    assert done.returncode == 1
    assert "energyImport at register 1: no fixture expects a value of it" in done.stdout


def test_unknown_is_no_literal_for_a_point(author):
    done = run_test(author(METER % "", SPEC % ("0x8000", "activePower = false, energyImport = 65536000")))
    assert done.returncode == 1
    assert "activePower at register 0: no fixture" in done.stdout


def test_a_driver_without_a_spec_fails(author):
    done = run_test(author(METER % ""))
    assert done.returncode == 1 and "no spec/acme.lua" in done.stdout


def test_a_hook_that_raises_on_some_image_is_found(author):
    hook = """
  hooks = { values = function(dev, values) return { activePower = values.activePower + 1 } end },"""
    done = run_test(author(METER % hook, SPEC % ("150", "activePower = 1501, energyImport = 65536000")))
    assert done.returncode == 1
    assert "FAIL  not-available marker 1" in done.stdout and "acme.lua:" in done.stdout


def test_a_hook_that_keeps_something_at_each_call_is_found(author):
    hook = """
  hooks = { values = function(dev, values)
    for i = 1, 64 do memory[#memory + 1] = { i, #memory, "text " .. #memory } end
    return {}
  end },"""
    driver = "local memory = {}\n" + METER % hook
    done = derd("test", author(driver, SPEC % ("150", GOOD)), "--polls", "60")
    assert done.returncode == 1
    assert "something is kept at each call" in done.stdout


def test_a_file_that_is_no_driver_is_told_with_its_line(author):
    done = run_test(author("return { api = 1,\n  name = }"))
    assert done.returncode == 1 and "acme.lua:2" in done.stdout
    assert derd("test", "no_such_driver").returncode == 1


def lua_blocks(path):
    return re.findall(r"```lua\n(.*?)```", (ROOT / path).read_text(), re.S)


def test_the_driver_of_the_guide_passes_its_own_spec(tmp_path):
    blocks = lua_blocks("drivers/README.md")
    driver = next(text for text in blocks if 'name = "acme_m1"' in text)
    spec = next(text for text in blocks if 'driver = "acme_m1"' in text)
    assert len((driver + spec).splitlines()) < 60
    (tmp_path / "drivers/spec").mkdir(parents=True)
    (tmp_path / "drivers/acme_m1.lua").write_text(driver)
    (tmp_path / "drivers/spec/acme_m1.lua").write_text(spec)
    done = run_test(tmp_path / "drivers/acme_m1.lua")
    assert done.returncode == 0, done.stdout


def test_the_policy_of_the_guide_is_right(tmp_path):
    (tmp_path / "policies").mkdir()
    policy = next(text for text in lua_blocks("policies/README.md") if 'name = "peak"' in text)
    (tmp_path / "policies/peak.lua").write_text(policy)
    done = derd("check", tmp_path / "policies")
    assert done.returncode == 0, done.stdout


# --- live devices ------------------------------------------------------------------------------------


def eastron(peer, unit=1):
    """A meter of the SDM family: floats in pairs of registers; the peer has one table for 3 and 4."""
    registers = {address: 0 for address in range(0, 76)}
    for address, value in {0: 230.2, 2: 231.5, 4: 229.75, 52: 1167.5, 70: 50.0, 72: 1234.5}.items():
        registers[address], registers[address + 1] = struct.unpack(">HH", struct.pack(">f", value))
    peer.unit(unit, registers)


def url(peer):
    return f"tcp://127.0.0.1:{peer.port}"


def test_probe_finds_the_driver_and_gives_the_lines_for_the_site(peer):
    eastron(peer)
    done = derd("probe", url(peer), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert next(line for line in lines if " fits unit " in line).startswith("eastron_sdm fits unit 1")
    assert any("activePower" in line and "1167.5 W" in line for line in lines)
    assert f'driver = "eastron_sdm", link = "{url(peer)}", unit = 1' in done.stdout
    assert "unit 1: asking as eastron_sdm" in done.stderr
    assert peer.writes() == []


def test_probe_goes_through_the_units_of_a_gateway(peer):
    eastron(peer, 2)
    done = derd("probe", url(peer), "--units", "1-3", cwd=ROOT)
    assert done.returncode == 0
    assert "eastron_sdm fits unit 2" in done.stdout and "fits unit 1" not in done.stdout
    assert "unit 1: " in done.stderr and "there is no such unit" in done.stderr


def test_probe_says_what_is_in_the_way(peer):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refused = derd("probe", f"tcp://127.0.0.1:{closed.getsockname()[1]}", cwd=ROOT)
    assert refused.returncode == 1 and "refused" in refused.stderr
    peer.unit(1, {})
    peer.silent.add(1)
    silent = derd("probe", url(peer), cwd=ROOT)
    assert silent.returncode == 1 and "no answer in time" in silent.stderr
    absent = derd("probe", url(peer), "--unit", "9", cwd=ROOT)
    assert absent.returncode == 1 and "no such unit" in absent.stderr
    assert derd("probe", "gopher://x").returncode == 2
    assert derd("probe", url(peer), "--units", "9-1").returncode == 2


def test_nothing_fits_a_device_that_nobody_knows(peer):
    peer.unit(1, {500: 1})
    done = derd("probe", url(peer), cwd=ROOT)
    assert done.returncode == 1 and "No driver fits" in done.stdout


def test_a_recording_is_a_fixture_that_test_takes(peer, tmp_path):
    eastron(peer)
    path = tmp_path / "house.lua"
    done = derd("record", url(peer), "--unit", 1, "--driver", "eastron_sdm", "--out", path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    text = path.read_text()
    assert "[0] = {" in text and "0x4366, 0x3333" in text
    assert "input[52]  activePower = 1167.5 W" in text
    assert peer.writes() == []
    again = derd("record", url(peer), "--driver", "eastron_sdm", cwd=ROOT)
    registers = text[text.index("registers"):]
    assert again.stdout[again.stdout.index("registers"):] == registers, "recordings can be compared"
    tested = derd("test", "eastron_sdm", "--polls", "20", "--fixture", path, cwd=ROOT)
    assert tested.returncode == 0, tested.stdout
    assert "ok    recorded 2" in tested.stdout


def test_record_says_when_the_device_is_another_one(peer):
    peer.unit(1, {500: 1})
    done = derd("record", url(peer), "--driver", "eastron_sdm", cwd=ROOT)
    assert done.returncode == 1 and "none of the registers of eastron_sdm" in done.stderr
    assert derd("record", url(peer), "--driver", "no_such", cwd=ROOT).returncode == 1
    assert derd("record", url(peer), cwd=ROOT).returncode == 2


def test_a_driver_by_http_is_begun_tested_and_probed(tmp_path):
    begun = derd("new", "driver", "web1", "--link", "http", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert derd("check", "drivers/web1.lua", cwd=tmp_path).returncode == 0
    tested = derd("test", "web1", "--polls", "20", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "ok    status 401: offline, and back" in tested.stdout

    meter = HttpMeter(power=1234)
    found = derd("probe", f"http://127.0.0.1:{meter.port}", cwd=tmp_path)
    meter.stop()
    assert found.returncode == 0, found.stdout
    assert "\nweb1: fits\n" in found.stdout and "1234 W" in found.stdout
    assert f'link = "http://127.0.0.1:{meter.port}" }}' in found.stdout
    assert "shelly_gen2_em: there is no component em:0" in found.stdout
