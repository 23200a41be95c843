"""Who may do what: every operation of the document x every kind of token, on a host.

The cells come from the document: an operation names its scope in `security`, has a body in its examples, and what
its path names says whom it belongs to. What follows from that is asked of the host; an operation for which it does
not follow is in EXCEPTIONS. An operation that there is no way to ask for fails the test."""

import json
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid

import pytest

from harness import PATIENCE_S, Host
from logins import set_password
from world import DEPOT

SCOPES = ("read", "control", "configure", "scripts", "admin")
REFUSED = ("no token", "unknown", "revoked", "expired")
COLUMNS = (*REFUSED, *(f"only {scope}" for scope in SCOPES), "all but its scope", "other account",
           "other cluster", "over its priority", "right")
DAY_S = 86400
DEAD = "tcp://127.0.0.1:9"  # nobody listens there
SITE = f"""return {{
  http = {{ listen = "127.0.0.1:@HTTP@", rate = 10000, burst = 10000, guesses = 1000,
           webhooks = {{ allow = {{ "127.0.0.1:9" }} }} }},
  store = {{ directory = "state" }},
  clusters = {{ {{ key = "home", devices = {{
    {{ key = "wallbox", driver = "abb_terra_ac", link = "{DEAD}", unit = 1 }} }} }}, {DEPOT} }} }}
"""
# What belongs to an account; of the rest, scripts are the whole host's.
OWNED = {"clusterId", "deviceId", "constraintId", "accountId", "tokenId", "webhookId"}
OF_CLUSTERS = {"clusterId", "deviceId", "constraintId", "webhookId", "tokenId"}
# (operation, column): status; where it is not what its scope and its path say.
EXCEPTIONS = {
    # Scripts run for all accounts and clusters.
    **{(name, column): 403 for name in ("putDriver", "deleteDriver", "putPolicy", "deletePolicy")
       for column in ("other account", "other cluster")},
    # Accounts and the audit log are of no cluster; a cluster of a token that is for some stands below one of them.
    **{(name, "other cluster"): 403 for name in ("createAccount", "updateAccount", "deleteAccount",
                                                 "createCluster", "listAudit")},
}
# What is above a priority of 0: constraints (the examples have 3000), and tokens that may more.
RANKED = {"createConstraint", "putConstraint", "putConstraints", "deleteConstraint",
          "createClusterConstraint", "putClusterConstraint", "putClusterConstraints",
          "deleteClusterConstraint", "createToken", "revokeToken", "putGridOperatorLimit",
          "sendGridOperatorHeartbeat"}
STREAMS = {"streamEvents"}


class World:
    """What the operations are asked about: made through the API, since what the site file declares is not changed
    there; and anew where it is to be deleted."""

    def __init__(self, host):
        self.host, self.count = host, 0
        self.cluster = self.make("/v1/clusters", name="Made")
        self.elsewhere = self.make("/v1/clusters", name="Elsewhere")
        self.shared = {"clusterId": self.cluster, "accountId": self.make("/v1/accounts", name="Tenant")}
        self.shared["deviceId"] = self.device()
        self.shared["webhookId"] = self.make("/v1/webhooks", url="http://127.0.0.1:9/hook")
        self.shared["tokenId"] = self.token()
        self.shared["driverName"] = self.script("driver")
        self.shared["policyName"] = self.script("policy")
        self.depot = host.body("/v1/clusters/depot")["id"]  # what only a site file declares

    def number(self):
        self.count += 1
        return self.count

    def make(self, path, **body):
        status, made, _ = self.host.request("POST", path, body)
        assert status in (200, 201), (path, status, made)
        return made["id"]

    def device(self):
        return self.make(f"/v1/clusters/{self.cluster}/devices", driver="abb_terra_ac", link=DEAD,
                         unit=1 + self.number())

    def constraint(self, path):
        """Of the device or of the cluster."""
        wish = {"priority": 3000, "maxActivePower": 4200, "validFor": 600}
        return self.make(path.format(**self.shared), **wish,
                         **({} if "{deviceId}" in path else {"scope": "controllable"}))

    def token(self):
        return self.make(f"/v1/accounts/{self.shared['accountId']}/tokens", name=f"t{self.number()}",
                         maxPriority=1000, scopes=["admin"])

    def script(self, kind):
        name = f"my_{kind}_{self.number()}"
        status, body, _ = self.host.request("PUT", f"/v1/{'drivers' if kind == 'driver' else 'policies'}/{name}",
                                            {"text": self.text(kind, name)})
        assert status == 201, body
        return name

    @staticmethod
    def text(kind, name):
        if kind == "policy":
            return f'return {{ api = 1, name = "{name}", every = 5, run = function() return {{}} end }}'
        return (f'return {{ api = 1, name = "{name}", version = "1.0", manufacturer = "Acme", models = {{ "M1" }}, '
                'type = "meter", link = { kinds = { "tcp" }, maxBlock = 80 }, points = { { '
                'name = "activePower", kind = "input", address = 52, encoding = "float32" } } }')

    def values(self, path, method):
        """What the names in a path stand for. An unknown name is an operation without a case."""
        values = {}
        names = re.findall(r"\{(\w+)\}", path)
        last = names[-1] if names else None
        for name in names:
            gone = method == "delete" and name == last
            if name == "constraintId":
                values[name] = self.constraint(path.split("/{constraintId}")[0])
            elif name not in self.shared:
                pytest.fail(f"{method} {path}: say in World what {{{name}}} stands for")
            elif name == "clusterId" and "gridOperator" in path:
                values[name] = self.depot
            elif not gone:
                values[name] = self.shared[name]
            else:
                values[name] = {"clusterId": lambda: self.make("/v1/clusters", name="Short-lived"),
                                "accountId": lambda: self.make("/v1/accounts", name="Short-lived"),
                                "deviceId": self.device, "tokenId": self.token,
                                "webhookId": lambda: self.make("/v1/webhooks", url="http://127.0.0.1:9/gone"),
                                "driverName": lambda: self.script("driver"),
                                "policyName": lambda: self.script("policy")}[name]()
        return values

    def body(self, operation, values):
        """(bytes, type): the first example of the document, with what must be another one each time."""
        content = operation.get("requestBody", {}).get("content")
        if not content:
            return None, None
        kind = "application/json" if "application/json" in content else next(iter(content))
        body = dict(next(iter(content[kind]["examples"].values()))["value"])
        body.update({
            "createToken": lambda: {"name": f"t{self.number()}", "scopes": ["admin"]},
            "createDevice": lambda: {"key": f"d{self.number()}", "link": DEAD, "unit": 1 + self.number()},
            "updateDevice": lambda: {"name": f"n{self.number()}", "link": DEAD},
            "createWebhook": lambda: {"url": "http://127.0.0.1:9/made"},
            "putDriver": lambda: {"text": self.text("driver", values["driverName"])},
            "putPolicy": lambda: {"text": self.text("policy", values["policyName"])},
        }.get(operation["operationId"], dict)())
        return json.dumps(body).encode(), kind

    def ids(self):
        """Of what belongs to the account of the host's own token."""
        return {self.cluster, self.depot, *(self.shared[name] for name in OWNED if name in self.shared)}

    def state(self):
        """All that a refused request must leave as it was. When a token was used is no part of it."""
        cluster, account = self.cluster, self.shared["accountId"]
        device = f"/v1/clusters/{cluster}/devices/{self.shared['deviceId']}"
        state = {}
        for path in ("/v1/clusters", f"/v1/clusters/{cluster}/devices", "/v1/accounts", "/v1/webhooks",
                     f"/v1/clusters/{cluster}/constraints", f"{device}/constraints",
                     f"/v1/accounts/{account}/tokens", "/v1/accounts/owner/tokens",
                     "/v1/drivers", "/v1/policies"):
            items = self.host.body(path + "?limit=500")["items"]
            state[path] = sorted((item.get("id") or item["name"], item.get("name")) for item in items)
        return state


class Matrix:
    def __init__(self, host):
        self.host, self.world = host, World(host)
        self.tokens = {"no token": None, "unknown": "derd_" + "a" * 12 + "_" + "A" * 43,
                       "revoked": host.make_token("revoked", 3999), "right": host.token,
                       "expired": host.make_token("expired", 3999, "all", "--expires", "1d"),
                       "over its priority": host.make_token("over", 0),
                       "other account": host.make_token("other", 3999, "all", "--account", "neighbour"),
                       "other cluster": host.make_token("elsewhere", 3999, "all", "--clusters",
                                                        self.world.elsewhere)}
        for scope in SCOPES:
            self.tokens[f"only {scope}"] = host.make_token(f"only-{scope}", 3999, scope)
            self.tokens[f"all but {scope}"] = host.make_token(
                f"all-but-{scope}", 3999, ",".join(each for each in SCOPES if each != scope))
        revoked = self.tokens["revoked"].split("_")[1]
        assert host.request("DELETE", f"/v1/accounts/owner/tokens/{revoked}")[0] == 204
        self.cells, self.wrong = 0, []

    def send(self, method, path, token, body, kind, stream):
        request = urllib.request.Request(f"http://127.0.0.1:{self.host.port}{path}", method=method.upper(), data=body)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if kind:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.headers, b"" if stream else answer.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.headers, refusal.read()

    @staticmethod
    def scope(operation):
        """None: it is open; "any": it needs a token, whatever its scopes."""
        security = operation.get("security")
        if security == [] or security and {} in security:
            return None
        security = [each for each in security or [] if "session" not in each]  # may what a token may
        assert len(security) == 1, f"{operation['operationId']} names no scope"
        if not security[0]["token"]:
            return "any"
        (scope,) = security[0]["token"]
        assert scope in SCOPES, scope
        return scope

    def expected(self, operation, path, column):
        """A status, or None: any success that the document promises."""
        name, scope = operation["operationId"], self.scope(operation)
        names = set(re.findall(r"\{(\w+)\}", path))
        if (name, column) in EXCEPTIONS:
            return EXCEPTIONS[name, column]
        if scope is None:
            return None
        if column in REFUSED:
            return 401
        if scope == "any":
            return None
        if column == "all but its scope" or column.startswith("only ") and column != f"only {scope}":
            return 403
        if column == "other account" and names & OWNED or column == "other cluster" and names & OF_CLUSTERS:
            return 404
        if column == "over its priority" and name in RANKED:
            return 403
        return None

    def cell(self, method, path, operation, column, values):
        scope, stream = self.scope(operation), operation["operationId"] in STREAMS
        token = self.tokens[f"all but {scope if scope in SCOPES else 'read'}" if column == "all but its scope" else column]
        address = path.format(**{key: urllib.parse.quote(value) for key, value in values.items()})
        body, kind = self.world.body(operation, values)
        status, headers, text = self.send(method, address, token, body, kind, stream)
        expected = self.expected(operation, path, column)
        self.cells += 1
        what = f"{operation['operationId']}, {column}: {status}"
        if expected is None:
            if not 200 <= status < 300 or str(status) not in operation["responses"]:
                self.wrong.append(f"{what}, not as the document promises: {text[:300]}")
            seen = [each for each in self.world.ids() if each.encode() in text]
            if column.startswith("other") and seen and not (
                    column == "other cluster" and set(seen) == {self.world.shared["accountId"]}):
                self.wrong.append(f"{what}, and shows {seen}")
        elif status != expected:
            self.wrong.append(f"{what}, not {expected}: {text[:300]}")
        elif status == 403 and column in ("all but its scope", *(f"only {each}" for each in SCOPES)):
            if (f'scope="{scope}"' not in headers.get("WWW-Authenticate", "")
                    or scope not in json.loads(text)["detail"]):
                self.wrong.append(f"{what}, and does not name {scope}: {text[:300]}")
        elif status == 401 and "WWW-Authenticate" not in headers:
            self.wrong.append(f"{what} without WWW-Authenticate")

    def row(self, method, path, operation):
        refused = [column for column in COLUMNS if self.expected(operation, path, column) is not None]
        values = self.world.values(path, method)
        before = self.world.state() if method != "get" else None
        for column in refused:
            self.cell(method, path, operation, column, values)
        if before and refused and self.world.state() != before:
            self.wrong.append(f"{operation['operationId']}: a request that was refused has changed something")
        for column in COLUMNS:
            if column not in refused:
                self.cell(method, path, operation, column, self.world.values(path, method))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    # The host is two days ahead of the console, so that what ends tomorrow has expired.
    host = Host(pathlib.Path(tmp_path_factory.mktemp("matrix")), SITE,
                arguments=("--clock-shift", str(2 * DAY_S)))
    assert set_password(host).returncode == 0
    yield Matrix(host)
    assert host.stop() == 0, host.log_text()[-4000:]


def test_every_operation_is_done_by_the_right_token_and_refused_to_every_other(matrix):
    document = matrix.host.body("/v1/openapi.json")
    operations = [(method, path, operation) for path, item in document["paths"].items()
                  for method, operation in item.items() if operation.get("operationId")]
    for method, path, operation in operations:
        matrix.row(method, path, operation)
    print(f"\nauthorization matrix: {len(operations)} operations x {len(COLUMNS)} kinds of token = "
          f"{matrix.cells} cells, {len(matrix.wrong)} wrong")
    assert matrix.cells == len(operations) * len(COLUMNS)
    assert not matrix.wrong, "\n".join(matrix.wrong)
    assert len(operations) > 50


def test_a_cell_that_is_wrong_is_found(matrix):
    """The test of the test: another scope in the document than on the route makes it fail."""
    path = "/v1/clusters/{clusterId}"
    before, cells = list(matrix.wrong), matrix.cells
    matrix.row("get", path, {"operationId": "getCluster", "security": [{"token": ["control"]}],
                             "responses": {"200": {}}})
    found = [each for each in matrix.wrong if each not in before]
    matrix.wrong[:], matrix.cells = before, cells
    assert {each.split(":")[0] for each in found} >= {
        "getCluster, only read", "getCluster, only control", "getCluster, all but its scope"}, found


def test_an_operation_without_a_case_is_found(matrix):
    with pytest.raises(pytest.fail.Exception, match="nothingId"):
        matrix.world.values("/v1/things/{nothingId}", "get")
    with pytest.raises(AssertionError, match="names no scope"):
        matrix.scope({"operationId": "getThing"})


def test_ids_that_nobody_has_answer_as_those_of_others_do(matrix):
    """404 tells nobody whether there is such a thing."""
    for path in ("/v1/clusters/{}", "/v1/accounts/{}", "/v1/webhooks/{}"):
        answers = []
        name = {"clusters": "clusterId", "accounts": "accountId", "webhooks": "webhookId"}[path.split("/")[2]]
        for which in (matrix.world.shared[name], str(uuid.uuid4())):
            status, body, _ = matrix.host.request("GET", path.format(which), token=matrix.tokens["other account"])
            answers.append((status, body["detail"].replace(which, "ID")))
        assert answers[0] == answers[1] and answers[0][0] == 404, answers
