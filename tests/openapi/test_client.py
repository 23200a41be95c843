"""A client that a published generator (openapi-python-client) made from the document that a host serves walks
the whole life of a cluster. No line of HTTP is written here, but for the receiver of the webhook."""

import datetime
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
import types

import pytest

import homes
from harness import Host, Simulator, until
from receiver import Receiver

SITE = """return { http = { listen = "127.0.0.1:@HTTP@", webhooks = { allow = { "127.0.0.1:%d" }, retryAfter = 0.1 } },
  store = { directory = "state" }, clusters = {} }
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A simulated home, and a host that does not know of it."""
    folder = pathlib.Path(tmp_path_factory.mktemp("client"))
    receiver = Receiver()
    simulator = Simulator(folder, homes.home(battery=False))
    host = Host(folder, SITE % receiver.port)
    yield types.SimpleNamespace(simulator=simulator, host=host, receiver=receiver, folder=folder)
    assert host.stop() == 0, host.log_text()[-4000:]
    simulator.stop()
    receiver.stop()
    assert not receiver.wrong, "each signature is right"


@pytest.fixture(scope="module")
def generated(world):
    """The generated package, and what the generator said."""
    document = world.host.body("/v1/openapi.json")
    path = world.folder / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", "--path", path, "--meta", "none",
         "--config", pathlib.Path(__file__).with_name("generator.yaml"),
         "--output-path", world.folder / "made" / "derd_client"],
        capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(world.folder / "made"))
    yield document, done.stdout + done.stderr
    sys.path.remove(str(world.folder / "made"))


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Client:
    """The generated functions by operationId; each must be answered as its caller expects."""

    def __init__(self, host, document):
        client = importlib.import_module("derd_client").AuthenticatedClient(
            base_url=f"http://127.0.0.1:{host.port}", token=host.token, raise_on_unexpected_status=True)
        self.client = client
        self.models = importlib.import_module("derd_client.models")
        self.modules = {operation["operationId"]: f"{snake(operation['tags'][0])}.{snake(operation['operationId'])}"
                        for item in document["paths"].values() for operation in item.values()}

    def __call__(self, operation, *path, expect=200, **more):
        module = importlib.import_module(f"derd_client.api.{self.modules[operation]}")
        answer = module.sync_detailed(*path, client=self.client, **more)
        assert answer.status_code == expect, (operation, answer.content)
        return answer.parsed


@pytest.fixture(scope="module")
def call(world, generated):
    return Client(world.host, generated[0])


def test_the_generator_takes_every_operation_and_every_schema(world, generated, call):
    document, said = generated
    warnings = [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line]
    # It knows no bodies of text; both of these take JSON too.
    assert [line for line in warnings if not re.search(r"PUT /v1/(drivers|policies)/", line)] == []
    for operation, module in call.modules.items():
        assert importlib.import_module(f"derd_client.api.{module}").sync_detailed, operation
    objects = {name for name, schema in document["components"]["schemas"].items()
               if schema.get("type") == "object"}
    assert len(objects) > 40
    assert {name for name in objects if not hasattr(call.models, name)} == set()


def test_the_whole_life_of_a_cluster(world, call):
    models, receiver = call.models, world.receiver
    box = f"tcp://127.0.0.1:{world.simulator.ports['wallbox']}"

    # A site comes, and a charging station on it, by nothing but the API.
    assert call("listClusters").items == []
    cluster = call("createCluster", body=models.ClusterRequest(key="bakery", name="The bakery"), expect=201,
                   idempotency_key="the-bakery")
    again = call("createCluster", body=models.ClusterRequest(key="bakery", name="The bakery"), expect=201,
                 idempotency_key="the-bakery")
    assert again.id == cluster.id, "a repetition makes no second one"
    device = call("createDevice", cluster.id, expect=201, body=models.DeviceRequest(
        key="wallbox", driver="abb_terra_ac", link=box, unit=1))
    assert call("getDevice", "bakery", "wallbox").id == device.id
    assert call("updateDevice", "bakery", "wallbox", body=models.DevicePatch(name="Yard")).name == "Yard"

    # It is watched until it is there and fresh.
    def flexibility():
        return call("getFlexibility", "bakery", "wallbox")
    seen = until(lambda: flexibility().connection == models.Connection.ONLINE and flexibility(), "it is online")
    assert seen.type_ == models.DeviceType.CHARGINGSTATION and seen.controllable
    assert seen.invalid_at > datetime.datetime.now(datetime.timezone.utc)
    assert seen.max_active_power > 5000

    # Whoever wants to know is told by a webhook.
    hook = call("createWebhook", expect=201, body=models.WebhookRequest(
        url=receiver.url("/life"), types=[models.WebhookRequestTypesType0Item.CONSTRAINT,
                                          models.WebhookRequestTypesType0Item.DECISION]))
    receiver.secrets["/life"] = hook.secret

    # What would be: nothing is changed by asking.
    wish = models.ConstraintItem(priority=2000, max_active_power=5000, valid_for=600)
    preview = call("previewEffective", "bakery", "wallbox", body=models.PreviewRequest(constraints=[wish]))
    assert preview.segments[0].max_active_power == 5000
    assert call("listConstraints", "bakery", "wallbox").items == []

    # What is: the car is bounded, and the device says so itself.
    made = call("createConstraint", "bakery", "wallbox", expect=201, body=models.ConstraintRequest(
        priority=2000, max_active_power=5000, valid_for=600, reason="lunch"))
    assert made.status == models.ConstraintStatus.INFORCE and made.decision.max_active_power == 5000
    confirmed = models.CommandState.CONFIRMED
    until(lambda: flexibility().command.state == confirmed and flexibility().max_bound == 5000, "it is told")
    until(lambda: 0 < (flexibility().active_power or 0) <= 5000, "the car charges within it")
    loser = call("createConstraint", "bakery", "wallbox", expect=201,
                 body=models.ConstraintRequest(priority=1000, active_power=9000, valid_for=600))
    effective = call("getEffective", "bakery", "wallbox")
    assert effective.winners.max_active_power == str(made.id)
    assert {item.id: item.outcome for item in effective.constraints}[loser.id] == models.Outcome.DISCARDED
    event = receiver.until("/life", lambda event: event["type"] == "constraint" and
                           event["data"]["id"] == str(made.id))[2]
    assert event["clusterId"] == str(cluster.id) and event["data"]["maxActivePower"] == 5000
    receiver.until("/life", lambda event: event["type"] == "decision")

    # What was.
    history = until(lambda: (found := call("getHistory", "bakery", "wallbox",
                                           resolution=models.GetHistoryResolution.RAW)).items and found,
                    "it has a history")
    assert history.device_id == str(device.id)
    log = until(lambda: (found := call("listDecisions", "bakery", "wallbox")).items and found,
                "its decisions are written down")
    assert log.items[0].from_ <= datetime.datetime.now(datetime.timezone.utc)

    # Mistakes are objects too, all at once.
    refused = call("createConstraint", "bakery", "wallbox", expect=422,
                   body=models.ConstraintRequest(priority=2000, min_active_power=5000, max_active_power=1))
    assert isinstance(refused, models.Problem) and {item.pointer for item in refused.errors} >= {"/invalidAt"}

    # And all of it goes again.
    for constraint in (made.id, loser.id):
        call("deleteConstraint", "bakery", "wallbox", constraint, expect=204)
    until(lambda: flexibility().max_bound != 5000, "nothing bounds it but itself")
    call("deleteWebhook", hook.id, expect=204)
    call("deleteDevice", "bakery", "wallbox", expect=204)
    assert isinstance(call("getDevice", "bakery", "wallbox", expect=404), models.Problem)
    call("deleteCluster", "bakery", expect=204)
    assert call("listClusters").items == []
