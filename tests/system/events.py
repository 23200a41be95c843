"""A client of GET /v1/events over a plain socket: what a browser's EventSource does, in plain sight."""

import json
import socket
import threading
import urllib.parse

from harness import PATIENCE_S, until


class Stream:
    """Collects events in a thread of its own until it is closed or the host ends it. Patient: comes
    back while there is no room, since streams of others that have left may not be noticed yet."""

    def __init__(self, host, last_id=None, token=None, heartbeat=1, patient=True, cookie=None, **query):
        self.events, self.comments, self.place, self.status = [], 0, None, None
        self.head, self.ended, self.whole = {}, threading.Event(), False
        self.lock = threading.Lock()
        query = urllib.parse.urlencode({"heartbeat": heartbeat, **query})
        lines = [f"GET /v1/events?{query} HTTP/1.1", "Host: derd",
                 f"Cookie: {cookie}" if cookie else f"Authorization: Bearer {token or host.token}"]
        if last_id:
            lines.append(f"Last-Event-ID: {last_id}")
        request = "\r\n".join(lines + ["", ""]).encode()
        until(lambda: self.ask(host.port, request) != 503 or not patient, "there is room")
        if self.status == 200:
            self.thread = threading.Thread(target=self.read, daemon=True)
            self.thread.start()
            until(lambda: self.place, "the stream says where it stands")

    def ask(self, port, request):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.sendall(request)
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            self.head[name.lower()] = value.strip()
        return self.status

    def chunks(self):
        while (size := int(self.file.readline() or b"-1", 16)) > 0:
            yield self.file.read(size)
            self.file.read(2)
        self.whole = size == 0

    def read(self):
        text = ""
        try:
            for chunk in self.chunks():
                text += chunk.decode()
                *frames, text = text.split("\n\n")
                for frame in frames:
                    self.take(frame)
        except (OSError, ValueError):
            pass
        self.ended.set()

    def take(self, frame):
        fields = {}
        for line in frame.split("\n"):
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.strip()
            else:
                self.comments += 1
        with self.lock:
            self.place = fields.get("id", self.place)
            if "data" in fields:
                event = json.loads(fields["data"])
                assert event["id"] == fields["id"] and event["type"] == fields["event"]
                self.events.append(event)

    def seen(self, kind=None, **fields):
        with self.lock:
            return [event for event in self.events if kind in (None, event["type"])
                    and all(event[name] == value for name, value in fields.items())]

    def until(self, kind, look=lambda event: True, **fields):
        """The first event of that type that fits."""
        return until(lambda: next(filter(look, self.seen(kind, **fields)), None),
                     f"an event {kind} {fields}")

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        if self.status == 200:
            assert self.ended.wait(PATIENCE_S)
        self.file.close()
        self.socket.close()
        return self.place


def number(event):
    boot, count = event["id"].split("-")
    return int(boot), int(count)
