"""Fuzzes a host on the simulated home with schemathesis, driven by the document that it serves.

    fuzz.py [--seconds N] [--seed N]

Two runs: one with a fixed seed, which finds today what it found yesterday, and one with a seed of its own,
which is printed. It fails when an answer is a 5xx, has a status, a type, a header or a body that the document
does not promise, when nonsense is accepted, and when fewer operations were tested than the document has."""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from world import home_and_host

SCHEMATHESIS = (sys.executable, "-m", "schemathesis.cli")
FIXED_SEED = 20260401
# Each check by name, so that an update of schemathesis neither adds nor drops one unseen.
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
          "unsupported_method", "allow_header_conformance", "ignored_auth", "use_after_free",
          "ensure_resource_availability")
# What cannot be fuzzed by asking and waiting for an answer, and why.
LEFT_OUT = {"getOpenapi": "schemathesis itself reads the document from it",
            "revokeToken": "it finds the token that all other requests need; tests/unit has its tests",
            "streamEvents": "a stream that does not end; tests/system has its tests"}


def operations(document):
    """{(method, path): operationId}"""
    return {(method.upper(), path): operation["operationId"]
            for path, item in document["paths"].items() for method, operation in item.items()
            if isinstance(operation, dict) and operation["operationId"] not in LEFT_OUT}


def tested(report, names):
    """{operationId: Counter(status)} of what schemathesis says that it sent."""
    seen = collections.defaultdict(collections.Counter)
    for line in report.read_text().splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for key, interaction in recorder.get("interactions", {}).items():
            case = recorder["cases"][key]["value"]
            name = names.get((case["method"], case["path"]))
            answer = interaction.get("response")
            if name and answer:
                seen[name][answer["status_code"]] += 1
    return seen


def fuzz(host, folder, seed, seconds, names):
    """The exit status of a run, and what it tested."""
    report = folder / f"events-{seed}.ndjson"
    left_out = [word for name in LEFT_OUT for word in ("--exclude-operation-id", name)]
    status = subprocess.run(
        [*SCHEMATHESIS, "--config-file", pathlib.Path(__file__).with_name("schemathesis.toml"), "run",
         f"http://127.0.0.1:{host.port}/v1/openapi.json", "--checks", ",".join(CHECKS),
         "-H", f"Authorization: Bearer {host.token}", "--seed", str(seed), "--max-time", str(seconds),
         "--request-timeout", "20", "--generation-database", "none", "--no-color",
         "--warnings", "off",
         "--report", "ndjson", "--report-ndjson-path", report, *left_out],
        cwd=folder, timeout=seconds * 3 + 120).returncode
    return status, tested(report, names)


def make_more(host):
    """What the site file declares cannot be changed: a cluster and a device of the API beside it. Made for
    each run anew, since a run may delete them."""
    for path, body in (("/v1/clusters", {"key": "made", "name": "Made"}),
                       ("/v1/clusters/made/devices", {"key": "box", "driver": "abb_terra_ac", "unit": 9,
                                                      "link": "tcp://127.0.0.1:9"})):
        status, answer, _ = host.request("POST", path, body)
        assert status in (201, 409), answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=70)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    given = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="derd-fuzz-") as folder:
        with home_and_host(pathlib.Path(folder)) as (_, host):
            names = operations(host.body("/v1/openapi.json"))
            wanted = set(names.values())
            for seed in (FIXED_SEED, given.seed):
                make_more(host)
                status, seen = fuzz(host, pathlib.Path(folder), seed, given.seconds // 2, names)
                for operation in sorted(wanted):
                    counts = sorted(seen[operation].items())
                    print(f"  {operation}:", *(f"{code} x {count}" for code, count in counts))
                # What was never more than refused for its token was not tested.
                missing = {name for name in wanted if not set(seen[name]) - {401}}
                print(f"seed {seed}: {len(wanted) - len(missing)} of {len(wanted)} operations tested, "
                      f"exit status {status}", *missing)
                failed += status != 0 or bool(missing)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
