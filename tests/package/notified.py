"""Runs a service that notifies (sd_notify(3)): notified.py FIFO COMMAND... writes "ready" to FIFO once it
has said READY=1, else "silent", hands SIGTERM on, and ends with the service's status."""

import os
import signal
import socket
import subprocess
import sys

fifo, command = sys.argv[1], sys.argv[2:]
name = f"derd-package-{os.getpid()}"
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
    notified.bind("\0" + name)
    notified.settimeout(60)
    service = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": "@" + name})
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    said = "ready"
    try:
        while "READY=1" not in notified.recv(4096).decode().split("\n"):
            pass
    except TimeoutError:
        said = "silent"
        service.terminate()
    with open(fifo, "w", encoding="ascii") as waiting:
        print(said, file=waiting)
    sys.exit(service.wait())
