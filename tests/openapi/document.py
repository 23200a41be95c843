"""Writes the OpenAPI document that a host serves to a file: document.py FILE"""

import json
import pathlib
import sys
import tempfile

from world import home_and_host

with tempfile.TemporaryDirectory(prefix="derd-document-") as folder:
    with home_and_host(pathlib.Path(folder)) as (_, host):
        document = host.body("/v1/openapi.json")
pathlib.Path(sys.argv[1]).write_text(json.dumps(document, indent=1))
