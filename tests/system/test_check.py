"""`derd check`, and what every command says when it is asked or used wrongly."""

import subprocess

import pytest

from harness import DERD, PATIENCE_S, ROOT


def derd(*arguments):
    """(exit status, standard output, standard error)"""
    done = subprocess.run([DERD, *arguments], capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def put(folder, kind, name, text):
    path = folder / kind / f"{name}.lua"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


BROKEN_DRIVER = """return {
  api = 1, name = "broken", version = "1", manufacturer = "A", models = { "B" }, type = "meter",
  link = { kinds = { "tcp" } },
  points = {
    { name = "activePower", address = 1, encoding = "int31" },
    { name = "activePowr", address = 2, encoding = "int16" },
    { name = "voltageL1", address = 70000, encoding = "uint16" },
    { name = "voltageL2", address = 4, encoding = "uint16", unit = "parsec" },
  },
}
"""

BROKEN_SITE = """return {
  store = { directory = "state" },
  clusters = {
    { key = "home", devices = {
        { key = "a", driver = "eastron_sdm", link = "tcp://127.0.0.1:502", unit = 1 },
        { key = "a", driver = "eastron_sdm", link = "tcp://127.0.0.1:502", unit = 2 },
        { key = "b", driver = "eastron_sdm", link = "carrier pigeon", unit = 3, colour = "red" },
        { key = "c", driver = "eastron_sdm", link = "tcp://127.0.0.1:502", unit = 1000 },
    } } } }
"""


def test_what_ships_is_right():
    status, told, _ = derd("check", ROOT / "drivers", ROOT / "policies",
                           ROOT / "scripts" / "demo" / "site.lua")
    assert status == 0
    lines = told.splitlines()
    scripts = [*(ROOT / "drivers").glob("*.lua"), *(ROOT / "policies").glob("*.lua")]
    assert len(lines) == len(scripts) + 1 and all(line.endswith(": ok") for line in lines)


def test_every_mistake_of_a_driver_is_told_with_its_place(tmp_path):
    path = put(tmp_path, "drivers", "broken", BROKEN_DRIVER)
    status, told, _ = derd("check", path)
    assert status == 1
    lines = told.splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    for place, word in (("points[1]", "int31"), ("points[2]", "activePower"),
                        ("points[3]", "70000"), ("points[4]", "parsec")):
        assert any(place in line and word in line for line in lines), (place, word, told)


def test_every_mistake_of_a_site_is_told_with_its_place(tmp_path):
    path = tmp_path / "site.lua"
    path.write_text(BROKEN_SITE)
    status, told, _ = derd("check", path)
    assert status == 1
    for place, word in (("devices[2]", "taken"), ("devices[3]", "colour"), ("devices[3].link", "tcp"),
                        ("devices[4]", "1000")):
        assert any(place in line and word in line for line in told.splitlines()), (place, told)


def test_a_syntax_error_is_told_with_its_line(tmp_path):
    path = put(tmp_path, "policies", "broken", "return {\n  api = 1,\n  run = functoin() end,\n}\n")
    status, told, _ = derd("check", path)
    assert status == 1 and ":3:" in told


def test_a_policy_that_is_no_policy_is_wrong(tmp_path):
    path = put(tmp_path, "policies", "broken", "return { api = 1, name = 'other', every = 0 }\n")
    status, told, _ = derd("check", path)
    assert status == 1 and "run" in told and "every" in told


def test_one_wrong_file_makes_the_whole_wrong_and_the_rest_is_still_checked(tmp_path):
    put(tmp_path, "drivers", "broken", BROKEN_DRIVER)
    put(tmp_path, "drivers", "eastron_sdm", (ROOT / "drivers" / "eastron_sdm.lua").read_text())
    status, told, _ = derd("check", tmp_path / "drivers", tmp_path / "nothing.lua")
    assert status == 1
    assert "eastron_sdm.lua: ok" in told and "broken.lua: points" in told
    assert "nothing.lua: there is no such file" in told


@pytest.mark.parametrize("arguments", [
    (), ("frobnicate",), ("check",), ("serve",), ("serve", "--site"), ("serve", "--sight", "x"),
    ("simulate",), ("simulate", "a", "b"), ("demo", "--frobnicate"), ("demo", "--port"),
    ("demo", "--port", "80a"), ("demo", "--port", "0"), ("token", "frobnicate"),
], ids=" ".join)
def test_used_wrongly_is_told_on_standard_error_with_status_2(arguments):
    status, told, error = derd(*arguments)
    assert status == 2 and told == "" and "derd" in error


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("serve", "--help"),
                                       ("demo", "--help"), ("simulate", "--help"),
                                       ("check", "--help"), ("token", "--help")], ids=" ".join)
def test_help_is_told_on_standard_output_with_status_0(arguments):
    status, told, error = derd(*arguments)
    assert status == 0 and error == "" and "derd " in told


def test_help_lists_every_command():
    told = derd("--help")[1]
    for command in ("serve", "demo", "simulate", "check", "token"):
        assert f"\n  {command} " in told


def test_version():
    status, told, _ = derd("--version")
    assert status == 0 and told.startswith("derd ") and told.count("\n") == 1


def test_an_unknown_command_is_named():
    assert '"frobnicate"' in derd("frobnicate")[2]


def test_a_home_with_mistakes_is_refused_with_all_of_them(tmp_path):
    path = tmp_path / "home.lua"
    path.write_text('return { speed = "fast", devices = { { make = "acme", unit = 1 } } }')
    status, told, error = derd("simulate", path)
    assert status == 1 and told == ""
    assert "speed" in error and "devices[1]" in error and "eastron_sdm630" in error
