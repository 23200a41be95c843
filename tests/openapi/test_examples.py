"""Every example of the OpenAPI document is sent to a host, and does what the document says."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

import jsonschema_rs
import pytest

from harness import PATIENCE_S

METHODS = ("post", "put", "get", "patch", "delete")
# Ids in examples that no host can have: those of what the examples before made are taken.
NEVER_THERE = {"tokenId", "webhookId", "deliveryId"}
# What ships is not overwritten.
OWN = {"driverName": "my_meter", "policyName": "my_policy"}
STREAMS = {"streamEvents"}


def send(host, method, path, body=None, kind=None):
    request = urllib.request.Request(f"http://127.0.0.1:{host.port}{path}", method=method, data=body)
    request.add_header("Authorization", f"Bearer {host.token}")
    if kind:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers.get("Content-Type"), answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers.get("Content-Type"), refusal.read()


class Examples:
    """Sends the examples of one operation after the other. `made`: {path: values of its steps} of what
    they made, since what the site file declares cannot be changed."""

    def __init__(self, host, document):
        self.host, self.document = host, document
        self.made = {}

    def follow(self, thing):
        while "$ref" in thing:
            at = self.document
            for step in thing["$ref"][2:].split("/"):
                at = at[step]
            thing = at
        return thing

    def values(self, path, method, parameters):
        names = re.findall(r"\{(\w+)\}", path)
        values = {name: parameters[name]["example"] for name in names}
        if method in ("patch", "delete"):
            values.update(self.made.get(path, {}))
        if method in ("put", "delete"):
            values.update({name: OWN[name] for name in names if name in OWN})
        for made in self.made.values():
            if NEVER_THERE & set(names) & set(made):
                values.update(made)
        if method == "post" and path.endswith("/devices"):
            values.update(self.made["/v1/clusters/{clusterId}"])
        return {name: values[name] for name in names}

    def check(self, what, operation, status, kind, text):
        responses = operation["responses"]
        assert 200 <= status < 300 and str(status) in responses, (what, status, text)
        content = self.follow(responses[str(status)]).get("content", {})
        if not content:
            assert not text, (what, text)
            return None
        assert kind.split(";")[0] in content, (what, kind)
        if "json" not in kind:
            return None
        schema = {**content[kind]["schema"], "components": self.document["components"]}
        body = json.loads(text)
        errors = [f"{list(error.instance_path)}: {error.message}"
                  for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(body)]
        assert not errors, (what, errors, body)
        return body

    def remember(self, path, values, operation, body):
        """The id of what was made, where the document has a path to it."""
        pattern = re.compile(re.escape(path) + r"/\{(\w+)\}$")
        for other in self.document["paths"]:
            if (found := pattern.match(other)) and isinstance(body, dict) and "id" in body:
                self.made[other] = {**values, found[1]: body["id"]}

    def run(self, path, method, operation):
        """How many requests were sent."""
        parameters = {item["name"]: item for item in map(self.follow, operation["parameters"])} \
            if "parameters" in operation else {}
        values = self.values(path, method, parameters)
        address = path.format(**{name: urllib.parse.quote(value, safe="") for name, value in values.items()})
        bodies = [(kind, name, example["value"])
                  for kind, media in operation.get("requestBody", {}).get("content", {}).items()
                  for name, example in media["examples"].items()]
        for kind, name, value in bodies or [(None, "", None)]:
            data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            answer = send(self.host, method.upper(), address, data if kind else None, kind)
            what = f"{operation['operationId']} {name} {kind or ''}"
            body = self.check(what, operation, *answer)
            if method == "post":
                self.remember(path, values, operation, body)
        queries = [(name, item["example"]) for name, item in parameters.items()
                   if method == "get" and item["in"] == "query" and "example" in item]
        for name, value in queries:
            value = str(value).lower() if isinstance(value, bool) else str(value)
            query = urllib.parse.urlencode({name: value})
            self.check(f"{operation['operationId']}?{query}", operation,
                       *send(self.host, "GET", f"{address}?{query}"))
        return len(bodies or [None]) + len(queries)


def test_every_example_is_taken_and_answered_as_described(host, document):
    examples = Examples(host, document)
    operations = [(path, method, operation) for path, item in document["paths"].items()
                  for method, operation in item.items() if operation["operationId"] not in STREAMS]
    # What makes comes first, from the outside in; what takes away last, from the inside out.
    operations.sort(key=lambda each: (METHODS.index(each[1]), each[0].count("/") *
                                      (-1 if each[1] == "delete" else 1)))
    sent, wrong = 0, []
    for each in operations:
        try:
            sent += examples.run(*each)
        except AssertionError as error:
            wrong.append(str(error).splitlines()[0])
    assert not wrong, "\n".join(wrong)
    assert sent >= len(operations)


def test_every_example_of_a_schema_is_right(document):
    wrong = []
    for name, schema in document["components"]["schemas"].items():
        validator = jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": document["components"]},
            validate_formats=True)
        wrong += [f"{name}: {error.message}" for example in schema["examples"]
                  for error in validator.iter_errors(example)]
    assert not wrong, wrong


def test_an_example_that_is_wrong_is_found(host, document):
    """The test of the test: what it is for must make it fail."""
    broken = json.loads(json.dumps(document))
    path = "/v1/clusters/{clusterId}/devices/{deviceId}/constraints"
    media = broken["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    media["examples"]["limit"]["value"]["maxActivePower"] = "much"
    with pytest.raises(AssertionError, match="422"):
        Examples(host, broken).run(path, "post", broken["paths"][path]["post"])
    broken["components"]["schemas"]["Cluster"]["properties"]["name"] = {"type": "integer"}
    with pytest.raises(AssertionError, match="integer"):
        Examples(host, broken).run("/v1/clusters/{clusterId}", "get",
                                   broken["paths"]["/v1/clusters/{clusterId}"]["get"])
