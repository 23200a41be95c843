"""What the README shows is what is there, and what it tells people to write is right."""

import json
import os
import re
import subprocess

import homes
from harness import DERD, ROOT, until

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```lua\n(.*?)```", README, re.S)


def block(start):
    found = [text for text in BLOCKS if start in text]
    assert len(found) == 1, f"{len(found)} Lua blocks hold {start!r}"
    return found[0]


def check(path):
    done = subprocess.run([DERD, "check", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_policy_in_the_readme_is_the_one_that_ships():
    assert block('name = "solar_charging"') == (ROOT / "policies/solar_charging.lua").read_text()


def test_the_policy_has_at_most_40_lines_of_code():
    lines = (ROOT / "policies/solar_charging.lua").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith("--")]
    assert len(code) <= 40


def test_the_examples_have_at_most_40_lines_of_code():
    for name, comment in (("solar_charging.lua", "--"), ("solar_charging.py", "#")):
        text = (ROOT / "scripts/examples" / name).read_text()
        text = re.sub(r'^""".*?"""\n', "", text, flags=re.S)
        code = [line for line in text.splitlines()
                if line.strip() and not line.strip().startswith(comment)]
        assert len(code) <= 40, name


def test_the_driver_in_the_readme_is_right(tmp_path):
    (tmp_path / "drivers").mkdir()
    path = tmp_path / "drivers" / "acme_meter.lua"
    path.write_text(block('name = "acme_meter"'))
    check(path)


def test_the_site_in_the_readme_is_right(tmp_path):
    path = tmp_path / "site.lua"
    path.write_text(block("/var/lib/derd"))
    check(path)


def test_the_grid_operators_box_in_the_readme_is_right(tmp_path):
    path = tmp_path / "site.lua"
    path.write_text('return { store = { directory = "state" }, clusters = { { key = "home",\n' +
                    block("gridOperator = {") + "} } }\n")
    check(path)


def test_every_file_that_the_readme_points_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_route_of_the_readme_is_in_the_route_table():
    routes = (ROOT / "host/api/route.c").read_text()
    for word in ("/health", "/ready", "/v1/vocabulary", "/v1/drivers", "/v1/policies",
                 "flexibility", "constraints", "effective"):
        assert word in README and word in routes


def test_what_the_readme_says_to_type_gives_what_it_says(start_simulator, start_host):
    """The curl examples as they stand, in one shell, on a home like the demo's."""
    simulator = start_simulator(homes.home(battery=False))
    host = start_host(homes.site(simulator.ports, policy="startDelay = 0", battery=False))
    wallbox = host.device("wallbox")
    wallbox.until_online()
    until(lambda: (wallbox.flexibility()["activePower"] or 0) > 6000, "the policy lets the car charge")
    script = re.search(r"```sh\n(export DERD_URL=.*?)```", README, re.S)[1]
    assert script.count("\ncurl ") == README.count("\ncurl "), "every example is run here"
    script = re.sub(r"^export DERD_URL=.*$", "", script, flags=re.M)
    done = subprocess.run(
        ["sh", "-eu"], input=script, capture_output=True, text=True, check=True,
        env={**os.environ, "DERD_URL": f"http://127.0.0.1:{host.port}", "DERD_TOKEN": host.token})
    decoder, answers, at = json.JSONDecoder(), [], 0
    while at < len(done.stdout.rstrip()):
        answer, at = decoder.raw_decode(done.stdout, at)
        answers.append(answer)
    limit, effective = answers
    assert (limit["status"], limit["outcome"]) == ("inForce", "applied")
    assert limit["decision"]["maxActivePower"] == 5000
    assert effective["winners"]["maxActivePower"] == limit["id"], "who decides now"
    wish = next(item for item in effective["constraints"] if item["createdBy"].startswith("policy:"))
    assert wish["outcome"] in ("applied", "clamped") and wish["explanation"], "what happened to the wish"
    until(lambda: 0 < wallbox.flexibility()["activePower"] <= 5000, "the car keeps to it")
