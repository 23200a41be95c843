"""The grid operator's box: what devices are really told, by a box that speaks through the API, one of
relays and one of registers over Modbus TCP; when it is lost, when it is back, and over kill -9."""

import subprocess
import threading
from contextlib import contextmanager

import pytest

from events import Stream
from harness import DERD, until
from sites import INVERTER, LOAD, device, site

BOX = "/v1/clusters/home/gridOperator"
LIMITS = "/v1/clusters/home/constraints"
UNIT_LOAD, UNIT_ROOF, UNIT_BOX = 1, 2, 3
TOLD = 11  # register of both devices: W that they were told
MOST = 11000  # W that the load takes when nothing limits it
CONTACTS = {address: 0 for address in range(8)}


def operator(heartbeat=120, source='"api"', failsafe="maxActivePower = 4200", more=""):
    return (f"gridOperator = {{ heartbeat = {heartbeat}, source = {source}, {more}\n"
            f"  failsafe = {{ {failsafe} }} }},")


def home(peer, *more, **box):
    peer.unit(UNIT_LOAD, LOAD)
    peer.unit(UNIT_ROOF, INVERTER)
    return site(device(peer, "load", "plain_load", UNIT_LOAD),
                device(peer, "roof", "plain_inverter", UNIT_ROOF), *more,
                cluster=operator(**box))


def view(host):
    return host.body(BOX)


def put(host, token=None, headers=None, **fields):
    return host.request("PUT", BOX, fields, token=token, headers=headers)


def state_limit(host, **fields):
    status, body, _ = put(host, **fields)
    assert status == 200 and body["durable"], body
    return body


def heartbeat(host):
    status, body, _ = host.request("POST", BOX + ":heartbeat", {})
    assert status == 200, body
    return body


def until_state(host, state):
    return until(lambda: view(host)["state"] == state and view(host), f"the box is {state}")


def until_told(peer, watts, unit=UNIT_LOAD):
    until(lambda: peer.get_int32(unit, TOLD) == watts, f"unit {unit} is told {watts} W")


def state_until_told(host, peer, watts):
    """As a box does it, again and again: how long it takes until the device is told does not matter."""
    until(lambda: state_limit(host, maxActivePower=watts) and peer.get_int32(UNIT_LOAD, TOLD) == watts,
          f"the load is told {watts} W")


def told(peer, unit=UNIT_LOAD):
    """Every power that the device was told, oldest first."""
    return [(values[0] << 16) + values[1] for address, values in peer.writes(unit)
            if address == TOLD and len(values) == 2]


def want_all(host):
    """Somebody wants as much as there is, so that the limit alone decides."""
    status, body, _ = host.device("load").post(priority=2000, validFor=3600, onConflict="clamp",
                                               activePower=MOST)
    assert status == 201, body


@contextmanager
def beating(host):
    """A box whose heartbeat comes and comes, and which states nothing."""
    done = threading.Event()

    def beat():
        while not done.wait(0.2):
            heartbeat(host)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    done.set()
    thread.join()


# --- through the API ------------------------------------------------------------------------------


def test_boot_is_failsafe_until_a_heartbeat_with_a_limit(start_host, peer):
    host = start_host(home(peer))
    host.device("load").until_online()
    want_all(host)
    until_told(peer, 4200)
    at_first = view(host)
    assert at_first["state"] == "init" and at_first["maxActivePower"] == 4200
    assert at_first["heartbeatAt"] is None and at_first["minActivePower"] is None
    assert heartbeat(host)["state"] == "init"
    assert view(host)["maxActivePower"] == 4200 and view(host)["heartbeatMissingAt"]
    limited = state_limit(host, maxActivePower=6000, reason="control room")
    assert limited["state"] == "limited" and limited["maxActivePower"] == 6000
    assert limited["statedBy"] == "token:test" and limited["reason"] == "control room"
    until_told(peer, 6000)
    free = state_limit(host, maxActivePower=None)
    assert free["state"] == "unlimitedControlled" and free["constraintId"] is None
    until_told(peer, MOST)
    assert max(told(peer)[:told(peer).index(6000)]) == 4200  # never more before the first limit
    assert host.body(LIMITS)["items"] == []


def test_its_limit_is_a_constraint_that_nobody_else_changes(start_host, peer):
    host = start_host(home(peer, more="priority = 3500,"))
    state_limit(host, maxActivePower=5000, minActivePower=-2000)
    limit, = host.body(LIMITS)["items"]
    assert limit["id"] == view(host)["constraintId"]
    assert (limit["createdBy"], limit["priority"], limit["scope"]) == (
        "gridOperator", 3500, "controllable")
    assert (limit["maxActivePower"], limit["minActivePower"]) == (5000, -2000)
    assert limit["status"] == "inForce" and limit["outcome"] == "applied"
    assert limit["invalidAt"] == "9999-12-31T23:59:59.999Z"
    for method, body in (("DELETE", None),
                         ("PUT", {"priority": 3999, "maxActivePower": 11000, "validFor": 60,
                                 "scope": "controllable"})):
        status, problem, _ = host.request(method, f"{LIMITS}/{limit['id']}", body)
        assert status == 409 and "grid operator" in problem["detail"], problem
    effective = host.body("/v1/clusters/home/effective")
    assert effective["limits"]["controllable"]["winners"]["maxActivePower"] == limit["id"]
    assert effective["nextChangeAt"] is None
    share = host.device("load").effective()["share"]
    assert share["maxActivePower"] == 5000 and "gridOperator, priority 3500" in share["explanation"]
    assert "9999" not in share["explanation"]
    # Others narrow it, and do not widen it.
    status, _, _ = host.request("POST", LIMITS, {"priority": 3999, "maxActivePower": 3000,
                                                 "scope": "controllable", "validFor": 600})
    assert status == 201
    assert host.body("/v1/clusters/home/effective")["limits"]["controllable"]["maxActivePower"] == 3000


def test_both_directions_reach_the_devices(start_host, peer):
    host = start_host(home(peer, failsafe="maxActivePower = 4200, minActivePower = -1000"))
    host.device("load").until_online()
    host.device("roof").until_online()
    want_all(host)
    until_told(peer, 4200)
    until_told(peer, 1000, UNIT_ROOF)
    state_limit(host, maxActivePower=0, minActivePower=0)
    until_told(peer, 0)
    until_told(peer, 0, UNIT_ROOF)
    limit, = host.body(LIMITS)["items"]
    assert (limit["maxActivePower"], limit["minActivePower"]) == (0, 0)  # zero is a limit


def test_a_limit_with_validFor_ends_and_one_without_stays(start_host, peer):
    host = start_host(home(peer))
    limited = state_limit(host, maxActivePower=1000, validFor=0.5)
    assert limited["invalidAt"]
    until_state(host, "unlimitedControlled")
    assert host.body(LIMITS)["items"] == []
    assert state_limit(host, maxActivePower=1000)["invalidAt"] is None


def test_failsafe_without_a_heartbeat_is_left_with_a_limit_only(start_host, peer):
    host = start_host(home(peer, heartbeat=2))
    stream = Stream(host)
    host.device("load").until_online()
    want_all(host)
    until_state(host, "failsafe")  # no word at all since start
    state_until_told(host, peer, 6000)
    lost = until_state(host, "failsafe")
    until_told(peer, 4200)
    assert lost["alarm"] and lost["statedBy"] is None and "heartbeat" in lost["explanation"]
    ready = host.body("/ready")
    assert ready["gridOperatorsHeard"] is False
    assert ready["gridOperatorsMissing"][0]["cluster"] == "home"
    assert 'derd_cluster_grid_operator_missing{cluster="home"} 1' in host.get("/metrics")[1].decode()
    alarm = stream.until("alarm", lambda event: event["data"]["alarm"] == "gridOperator",
                         action="raised")
    assert alarm["clusterId"] == lost["clusterId"]
    back = heartbeat(host)
    assert back["state"] == "failsafe" and back["maxActivePower"] == 4200
    assert host.body(LIMITS)["items"][0]["maxActivePower"] == 4200
    state_until_told(host, peer, 6000)
    stream.until("alarm", lambda event: event["data"]["alarm"] == "gridOperator", action="cleared")
    stream.until("constraint", lambda event: event["data"]["createdBy"] == "gridOperator",
                 action="replaced")
    stream.close()


def test_a_box_that_is_back_and_states_nothing_leaves_the_failsafe_limit(start_host, peer):
    host = start_host(home(peer, heartbeat=1))
    until_state(host, "failsafe")
    with beating(host):
        own = until_state(host, "unlimitedAutonomous")
        assert own["maxActivePower"] == 4200 and own["alarm"] and own["nextChangeAt"] is None
        assert host.body(LIMITS)["items"][0]["maxActivePower"] == 4200
        assert host.body("/ready")["gridOperatorsHeard"] is False
        assert state_limit(host, maxActivePower=None)["state"] == "unlimitedControlled"


def test_what_is_said_wrongly_changes_nothing(start_host, peer):
    host = start_host(home(peer))
    status, problem, _ = put(host, maxActivePower=-5, minActivePower=5, validFor=0, watts=3)
    assert status == 422
    assert {error["pointer"] for error in problem["errors"]} == {
        "/maxActivePower", "/minActivePower", "/validFor", "/watts"}
    assert put(host)[0] == 422  # nothing said is not "no limit"
    assert put(host, reason="only words")[0] == 422
    assert host.request("POST", BOX + ":heartbeat", {"state": "ok"})[0] == 422
    weak = host.make_token("program", 2999)
    for answer in (put(host, token=weak, maxActivePower=None),
                   host.request("POST", BOX + ":heartbeat", {}, token=weak)):
        assert answer[0] == 403 and "3000" in answer[1]["detail"]
    assert host.request("GET", BOX, token=weak)[0] == 200
    untouched = view(host)
    assert untouched["state"] == "init" and untouched["heartbeatAt"] is None
    tag = host.get(BOX)[2]["ETag"]
    state_limit(host, maxActivePower=3000)
    assert put(host, headers={"If-Match": tag}, maxActivePower=None)[0] == 412
    assert view(host)["maxActivePower"] == 3000


def test_the_audit_log_has_each_limit_that_was_stated(start_host, peer):
    host = start_host(home(peer))
    state_limit(host, maxActivePower=3000, reason="control room")
    state_limit(host, maxActivePower=3000, reason="control room")  # stated again: no change
    heartbeat(host)
    state_limit(host, maxActivePower=None)
    rows = [row for row in host.body("/v1/audit?target=home")["items"]
            if row["target"]["kind"] == "gridOperator"]
    changes = [(row["before"]["maxActivePower"], row["after"]["maxActivePower"]) for row in rows]
    assert changes == [(3000, None), (4200, 3000)]
    assert rows[1]["before"]["state"] == "init" and rows[1]["after"]["state"] == "limited"
    assert rows[1]["who"]["name"] == "test" and rows[1]["action"] == f"PUT {BOX}"


def test_a_cluster_without_a_box_has_none(start_host, peer):
    peer.unit(UNIT_LOAD, LOAD)
    host = start_host(site(device(peer, "load", "plain_load", UNIT_LOAD)))
    for answer in (host.get(BOX), put(host, maxActivePower=1),
                   host.request("POST", BOX + ":heartbeat", {})):
        assert answer[0] == 404 and "gridOperator" in answer[1]["detail"]
    assert host.body("/ready")["gridOperatorsHeard"] is True
    status, problem, _ = host.request("POST", "/v1/clusters", {"key": "other", "gridOperator": {}})
    assert status == 422 and problem["errors"][0]["pointer"] == "/gridOperator"


# --- over kill -9 ---------------------------------------------------------------------------------


def killed_and_started(host, peer):
    host.kill()
    peer.forget()
    host.start()
    host.device("load").until_online()


@pytest.mark.parametrize("before, kept", [(1000, 1000), (6000, 4200), (0, 0), (None, 4200)])
def test_kill_9_with_a_limit_stated_leaves_the_stricter_of_it_and_failsafe(start_host, peer, before,
                                                                           kept):
    host = start_host(home(peer))
    host.device("load").until_online()
    want_all(host)
    state_limit(host, maxActivePower=before)
    until_told(peer, MOST if before is None else before)
    killed_and_started(host, peer)
    until_told(peer, kept)
    again = view(host)
    assert again["state"] == "init" and again["maxActivePower"] == kept
    assert heartbeat(host)["maxActivePower"] == kept
    assert all(watts <= kept for watts in told(peer))  # not for a moment
    assert state_limit(host, maxActivePower=None)["state"] == "unlimitedControlled"
    until_told(peer, MOST)
    killed_and_started(host, peer)  # what was kept is gone with the fresh limit
    until_told(peer, 4200)
    assert all(watts <= 4200 for watts in told(peer))


def test_kill_9_while_the_box_is_missing(start_host, peer):
    host = start_host(home(peer, heartbeat=1))
    host.device("load").until_online()
    want_all(host)
    state_limit(host, maxActivePower=1000)
    until_state(host, "failsafe")
    until_told(peer, 4200)  # the box's last word is over
    killed_and_started(host, peer)
    until_told(peer, 4200)
    assert view(host)["state"] in ("init", "failsafe")
    with beating(host):
        until_state(host, "unlimitedAutonomous")
    killed_and_started(host, peer)
    until_told(peer, 4200)
    assert view(host)["state"] in ("init", "failsafe")
    assert all(watts <= 4200 for watts in told(peer))


def test_a_limit_before_the_restart_ends_with_its_own_time(start_host, peer):
    host = start_host(home(peer))
    host.device("load").until_online()
    want_all(host)
    state_limit(host, maxActivePower=1000, validFor=3)
    host.kill()
    host.start()
    until(lambda: view(host)["maxActivePower"] == 4200, "failsafe alone")
    assert view(host)["state"] == "init"


def test_the_site_file_changes_a_box_that_goes_on(start_host, peer):
    host = start_host(home(peer))
    state_limit(host, maxActivePower=3000)
    host.write_site(home(peer, failsafe="maxActivePower = 1500", more="priority = 3100,"))
    changed = until(lambda: view(host)["priority"] == 3100 and view(host), "the new priority")
    assert changed["state"] == "limited" and changed["maxActivePower"] == 3000
    assert host.body(LIMITS)["items"][0]["priority"] == 3100
    host.write_site(site(device(peer, "load", "plain_load", UNIT_LOAD)))
    until(lambda: host.get(BOX)[0] == 404, "the box is gone")
    assert host.body(LIMITS)["items"] == []
    host.write_site(home(peer))
    until(lambda: host.get(BOX)[0] == 200, "a box is there again")
    assert view(host)["state"] == "init" and view(host)["maxActivePower"] == 4200


# --- relays, over Modbus TCP ----------------------------------------------------------------------

RELAYS = """{ device = "box", contacts = {
  { contact = 1, maxActivePower = 4200 },
  { contact = 2, minActivePower = -6000 }, { contact = 3, minActivePower = -3000 },
  { contact = 4, when = "open", minActivePower = -8000 } } }"""


def relay_box(peer, **contacts):
    peer.unit(UNIT_BOX, {**CONTACTS, **{int(name[1:]) - 1: value for name, value in contacts.items()}})
    return device(peer, "box", "moxa_iologik_e1200", UNIT_BOX)


def test_contacts_limit_by_the_table_of_the_site_file(start_host, peer):
    host = start_host(home(peer, relay_box(peer, c4=1), source=RELAYS,
                           failsafe="maxActivePower = 2000, minActivePower = -500"))
    host.device("load").until_online()
    host.device("roof").until_online()
    want_all(host)
    free = until_state(host, "unlimitedControlled")
    assert free["source"] == "device" and free["device"] == "box"
    assert free["statedBy"] == "device:box"
    until_told(peer, MOST)
    peer.set(UNIT_BOX, 0, 1)
    until_told(peer, 4200)
    assert "contact 1 is closed" in view(host)["explanation"]
    peer.set(UNIT_BOX, 1, 1, 1)  # 60 % and 30 %: the stricter one
    until_told(peer, 3000, UNIT_ROOF)
    peer.set(UNIT_BOX, 0, 0)
    until_told(peer, MOST)
    peer.set(UNIT_BOX, 1, 0, 0)
    peer.set(UNIT_BOX, 3, 0)  # a broken wire, where open limits
    until_told(peer, 8000, UNIT_ROOF)
    status, problem, _ = put(host, maxActivePower=None)
    assert status == 409 and "box" in problem["detail"]


def test_a_relay_module_that_is_lost_is_a_missing_heartbeat(start_host, peer):
    host = start_host(home(peer, relay_box(peer, c4=1), source=RELAYS, heartbeat=3))
    host.device("load").until_online()
    want_all(host)
    until_told(peer, MOST)
    peer.silent.add(UNIT_BOX)
    until_told(peer, 4200)
    lost = until_state(host, "failsafe")
    assert lost["alarm"] and lost["silence"] == "box is offline"
    peer.silent.discard(UNIT_BOX)
    until_told(peer, MOST)  # each sample is a heartbeat, and states what the contacts say
    peer.refuse[UNIT_BOX] = 4  # it answers, and does not tell its contacts
    until_state(host, "failsafe")
    until_told(peer, 4200)
    del peer.refuse[UNIT_BOX]
    until_state(host, "unlimitedControlled")


def test_where_a_contact_means_no_limit_none_closed_is_a_broken_wire(start_host, peer):
    receiver = """{ device = "box", contacts = { { contact = 1 }, { contact = 2, minActivePower = -6000 },
      { contact = 3, minActivePower = 0 } } }"""
    host = start_host(home(peer, relay_box(peer), source=receiver, heartbeat=2,
                           failsafe="minActivePower = -100"))
    host.device("roof").until_online()
    broken = until_state(host, "failsafe")
    until_told(peer, 100, UNIT_ROOF)
    assert "wire" in broken["silence"]
    peer.set(UNIT_BOX, 0, 1)
    until_state(host, "unlimitedControlled")
    peer.set(UNIT_BOX, 0, 0, 0, 1)
    until_told(peer, 0, UNIT_ROOF)


def test_another_module_at_its_address_is_not_heard(start_host, peer):
    """What answers wrongly is never a heartbeat: here a box whose driver is gone."""
    host = start_host(home(peer, relay_box(peer, c4=1), source=RELAYS, heartbeat=2))
    until_state(host, "unlimitedControlled")
    host.write_site(home(peer, device(peer, "box", "plain_meter", UNIT_BOX), source=RELAYS,
                         heartbeat=2))
    assert "is a meter" in until_state(host, "failsafe")["silence"]


# --- registers ------------------------------------------------------------------------------------


@contextmanager
def counting(peer):
    """The box's heartbeat counts."""
    done = threading.Event()

    def count():
        while not done.wait(0.2):
            peer.set(UNIT_BOX, 0, peer.units[UNIT_BOX][0] + 1)

    thread = threading.Thread(target=count)
    thread.start()
    yield
    done.set()
    thread.join()


def test_registers_state_a_limit_while_their_heartbeat_moves(start_host, peer):
    peer.unit(UNIT_BOX, {0: 7, 1: 1, 2: 5000, 3: 0, 4: 0})
    host = start_host(home(peer, device(peer, "box", "plain_box", UNIT_BOX), heartbeat=3,
                           source='{ device = "box" }'))
    host.device("load").until_online()
    host.device("roof").until_online()
    want_all(host)
    silent = until_state(host, "failsafe")  # it is read all the time, and its heartbeat stands still
    assert "7" in silent["silence"]
    until_told(peer, 4200)
    with counting(peer):
        until_told(peer, 5000)
        assert until_state(host, "limited")["maxActivePower"] == 5000
        peer.set(UNIT_BOX, 2, 0)
        until_told(peer, 0)  # a limit of 0 W is a limit
        peer.set(UNIT_BOX, 1, 0)
        until_told(peer, MOST)
        peer.set(UNIT_BOX, 3, 1, 2500)
        until_told(peer, 2500, UNIT_ROOF)
        peer.set(UNIT_BOX, 1, 1, 0xFFFF)  # a limit holds, and which is not known
        until_state(host, "failsafe")
        until_told(peer, 4200)
        peer.set(UNIT_BOX, 2, 6000)
        until_told(peer, 6000)
    until_state(host, "failsafe")
    until_told(peer, 4200)


# --- mistakes -------------------------------------------------------------------------------------


def test_check_tells_every_mistake_of_a_box_at_once(tmp_path, peer):
    path = tmp_path / "site.lua"
    path.write_text(site(device(peer, "load", "plain_load", 1), cluster="""gridOperator = {
      scope = "connection", priority = 2000, heartbeat = 900, failsafe = { duration = "1h" }, pause = 1,
      source = { device = "bax", contacts = { { contact = 9 }, { contact = 1, maxActivePower = -1 },
                 { contact = 1 } } } },""").replace("@HTTP@", "8080"))
    done = subprocess.run([DERD, "check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for mistake in ("gridOperator.priority", "gridOperator.heartbeat", "gridOperator.pause",
                    "gridOperator.failsafe: it limits nothing", "gridOperator.failsafe.duration",
                    "gridOperator.source.device: there is no device", "gridOperator.scope: nothing tells",
                    "contacts[1].contact", "contacts[2].maxActivePower", "contacts[3]: contact 1 when"):
        assert mistake in done.stdout, (mistake, done.stdout)
