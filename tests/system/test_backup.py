"""Backups of a host that runs, and the same answers after they were put back."""

import json
import subprocess
import tarfile
import threading

import pytest

from harness import BUILD, DERD, until
from sites import LOAD, one


def run(*arguments):
    return subprocess.run([DERD, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def answers(host, device):
    """What must be the same: everything that the host remembers, without what moves by itself."""
    def get(path):
        status, body, _ = host.get(path)
        assert status == 200, (path, status, body)
        return body
    constraints = [{key: item[key] for key in ("id", "priority", "maxActivePower", "createdBy", "createdAt", "reason")}
                   for item in get(f"{device}/constraints?limit=500")["items"]]
    webhooks = [{key: item[key] for key in ("id", "url")} for item in get("/v1/webhooks")["items"]]
    tokens = [{key: value for key, value in item.items() if key != "lastUsedAt"}
              for item in get("/v1/accounts/owner/tokens")["items"]]
    return {"constraints": sorted(constraints, key=lambda item: item["id"]), "webhooks": webhooks,
            "accounts": get("/v1/accounts"), "clusters": [item["id"] for item in get("/v1/clusters")["items"]],
            "device": get(device)["id"], "tokens": tokens,
            "driver": get("/v1/drivers/mine")["name"]}


class Writing(threading.Thread):
    """Constraints, one after the other, each known by its number, until it is told to end."""

    def __init__(self, host, device):
        super().__init__()
        self.host, self.device, self.ended = host, device, threading.Event()
        self.accepted = []
        self.start()

    def run(self):
        while not self.ended.is_set() and len(self.accepted) < 45:
            number = len(self.accepted)
            status, body, _ = self.host.request("POST", f"{self.device}/constraints", {
                "priority": 2000, "maxActivePower": 5000 + number, "validFor": 3600, "reason": f"number {number}"})
            assert status == 201, body
            self.accepted.append(number)

    def end(self):
        self.ended.set()
        self.join()


def test_a_backup_under_write_load_gives_the_same_answers(start_host, peer, tmp_path):
    peer.unit(1, LOAD)
    site = one(peer, "plain_load")
    host = start_host(site)
    device = "/v1/clusters/home/devices/dut"
    host.device("dut").until_online()
    assert host.request("POST", "/v1/accounts", {"key": "tenant", "name": "A tenant"})[0] == 201
    text = (BUILD.parent / "tests/system/drivers/plain_load.lua").read_text().replace("plain_load", "mine")
    assert host.request("PUT", "/v1/drivers/mine", {"text": text})[0] in (200, 201)
    status, hook, _ = host.request("POST", "/v1/webhooks", {"url": "https://198.41.0.4/hook", "types": ["alarm"]})
    assert status == 201 and hook["secret"].startswith("whsec_")

    # Taken while constraints are written: it holds a beginning of them, without a hole.
    writing = Writing(host, device)
    until(lambda: len(writing.accepted) >= 5, "some are accepted")
    before = len(writing.accepted)
    loaded = run("backup", tmp_path / "loaded.tar", "--site", host.site_path)
    assert loaded.returncode == 0, loaded.stderr
    writing.end()
    again = run("backup", tmp_path / "loaded.tar", "--site", host.site_path)
    assert again.returncode == 1 and "already" in again.stderr

    # And one of a quiet host, with all that it answers; a second sealed.
    until(lambda: host.get(f"{device}/history?resolution=raw&limit=1")[1]["items"], "a sample is on disk")
    wanted = answers(host, device)
    assert len(wanted["constraints"]) == len(writing.accepted)
    (tmp_path / "phrase").write_text("correct horse battery staple\n")
    quiet = run("backup", tmp_path / "quiet.tar", "--site", host.site_path)
    sealed = run("backup", tmp_path / "sealed", "--site", host.site_path, "--passphrase-file", tmp_path / "phrase")
    assert quiet.returncode == 0 and "left out" in quiet.stderr, quiet.stderr
    assert sealed.returncode == 0 and "left out" not in sealed.stderr, sealed.stderr

    # It can be looked into, is its owner's alone, and shows no secret.
    with tarfile.open(tmp_path / "quiet.tar") as archive:
        assert archive.getnames()[0] == "manifest.json"
        assert set(archive.getnames()) >= {"derd.db", "telemetry.db", "scripts/drivers/mine.lua"}
        manifest = json.load(archive.extractfile("manifest.json"))
    assert manifest["secrets"] == "left out" and len(manifest["files"]) == 3
    assert (tmp_path / "quiet.tar").stat().st_mode & 0o777 == 0o600
    for path in (tmp_path / "quiet.tar", tmp_path / "loaded.tar", tmp_path / "sealed"):
        data = path.read_bytes()
        assert hook["secret"].encode() not in data and host.token.encode() not in data
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]

    # Never under a host that runs.
    refused = run("restore", tmp_path / "quiet.tar", "--site", host.site_path)
    assert refused.returncode == 1 and "another derd" in refused.stderr
    assert answers(host, device)["constraints"] == wanted["constraints"]

    # Something else happens, then the quiet one is put back: the same answers, the webhook waits for a secret.
    kept = wanted["constraints"][0]["id"]
    assert host.request("DELETE", f"{device}/constraints/{kept}")[0] in (200, 204)
    assert host.request("POST", "/v1/accounts", {"key": "later", "name": "Later"})[0] == 201
    host.stop()
    restored = run("restore", tmp_path / "quiet.tar", "--site", host.site_path)
    assert restored.returncode == 0 and "before-restore-" in restored.stderr, restored.stderr
    host.start()
    host.device("dut").until_online()
    assert answers(host, device) == wanted
    assert host.get(f"{device}/history?resolution=raw&limit=1")[1]["items"]
    status, shown, _ = host.get(f"/v1/webhooks/{hook['id']}")
    assert status == 200 and shown["enabled"] is False and "rotateSecret" in json.dumps(shown)
    status, shown, _ = host.request("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": True, "rotateSecret": True})
    assert status == 200 and shown["enabled"] is True and shown["secret"].startswith("whsec_")

    # The sealed one brings the secret with it; the wrong phrase brings nothing.
    host.stop()
    (tmp_path / "wrong").write_text("another horse battery staple\n")
    wrong = run("restore", tmp_path / "sealed", "--site", host.site_path, "--passphrase-file", tmp_path / "wrong")
    assert wrong.returncode == 1 and "passphrase" in wrong.stderr
    right = run("restore", tmp_path / "sealed", "--site", host.site_path, "--passphrase-file", tmp_path / "phrase")
    assert right.returncode == 0, right.stderr
    host.start()
    assert answers(host, device) == wanted
    assert host.get(f"/v1/webhooks/{hook['id']}")[1]["enabled"] is True

    # The one that was taken under load: numbers 0 to some N, all of those accepted before it began.
    host.stop()
    assert run("restore", tmp_path / "loaded.tar", "--site", host.site_path).returncode == 0
    host.start()
    reasons = [item["reason"] for item in host.get(f"{device}/constraints?limit=500")[1]["items"]]
    numbers = sorted(int(reason.split()[1]) for reason in reasons)
    assert numbers == list(range(len(numbers))) and before <= len(numbers) <= len(writing.accepted)


def test_used_wrongly_it_says_how(tmp_path):
    assert run("backup").returncode == 2
    assert run("backup", "a", "b", "--store", tmp_path).returncode == 2
    assert run("restore", "a").returncode == 2
    assert "--passphrase-file" in run("backup", "--help").stdout
    nothing = run("backup", tmp_path / "x.tar", "--store", tmp_path)
    assert nothing.returncode == 1 and "there is no store" in nothing.stderr
    (tmp_path / "short").write_text("short\n")
    short = run("backup", tmp_path / "x.tar", "--store", tmp_path, "--passphrase-file", tmp_path / "short")
    assert short.returncode == 1 and "12 characters" in short.stderr
    garbage = run("restore", tmp_path / "short", "--store", tmp_path / "new")
    assert garbage.returncode == 1 and "no backup of derd" in garbage.stderr


def test_a_restore_that_cannot_begin_leaves_the_host_what_it_had(start_host, peer, tmp_path):
    host = start_host(one(peer, "plain_load"))
    dut = host.device("dut")
    dut.until_online()
    status, held, _ = dut.post(priority=3000, validFor=3600, maxActivePower=1500)
    assert status == 201
    assert run("backup", tmp_path / "b.tar", "--site", host.site_path).returncode == 0
    assert host.stop() == 0
    folder = host.folder / "state"
    store = folder / "derd.db"
    if subprocess.run(["mount", "--bind", store, store], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:  # a mount point is not moved
        refused = run("restore", tmp_path / "b.tar", "--site", host.site_path)
    finally:
        subprocess.run(["umount", store], check=True)
    assert refused.returncode == 1 and "nothing was changed" in refused.stderr, refused.stderr
    assert not [path for path in folder.iterdir() if path.name.startswith(("restor", "before-restore"))]
    host.start()
    dut.until_online()
    assert [item["id"] for item in dut.constraints()] == [held["id"]]
