import pathlib

import pytest

from world import home_and_host


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A host on the simulated home; every device is online."""
    with home_and_host(pathlib.Path(tmp_path_factory.mktemp("home"))) as (_, host):
        yield host


@pytest.fixture(scope="module")
def document(host):
    return host.body("/v1/openapi.json")
