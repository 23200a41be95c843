"""A crowd of clients that nobody wants, in a process of its own, so that who measures beside it is not
slowed by it:

    hostile_clients.py API_PORT SERVICE_PORT COUNT TOKEN

COUNT clients, evenly of KINDS. Each that the host has ended comes again at once, but for those whose
kind is to have gone. Says "ready" once all have come for the first time, ends when its standard input
does, and then says in one line of JSON how often clients of each kind came, and how many are there."""

import errno
import json
import resource
import selectors
import socket
import struct
import sys
import time

KINDS = ("silent", "half_line", "slow_head", "slow_body", "half_open", "idle", "deaf_stream",
         "service_silent", "service_slow", "service_flood")
AGAIN_S = 0.02  # between two tries of one client
BYTE_S = 1.0    # between two bytes of a slow one
FLOOD_KEEPS_S = 0.1


class Client:
    def __init__(self, crowd, kind):
        self.crowd, self.kind, self.socket, self.due = crowd, kind, None, 0

    def first_words(self):
        host = b"Host: localhost\r\n"
        token = f"Authorization: Bearer {self.crowd.token}\r\n".encode()
        return {
            "half_line": b"GET /v1/clust",
            "slow_head": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
            "service_slow": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
            "slow_body": b"POST /v1/clusters HTTP/1.1\r\n" + host + token +
                         b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
            "half_open": b"GET /health HTTP/1.1\r\n",
            "idle": b"GET /health HTTP/1.1\r\n" + host + b"\r\n",
            "deaf_stream": b"GET /v1/events HTTP/1.1\r\n" + host + token + b"\r\n",
        }.get(self.kind, b"")

    def come(self, now):
        crowd = self.crowd
        port = crowd.service_port if self.kind.startswith("service") else crowd.api_port
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self.kind == "deaf_stream":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        code = self.socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            self.go(now)
            return
        crowd.came[self.kind] += 1
        self.spoke, self.due = False, now + FLOOD_KEEPS_S
        crowd.selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def go(self, now, reset=False):
        try:
            self.crowd.selector.unregister(self.socket)
        except (KeyError, ValueError):
            pass
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.socket, self.due = None, now + AGAIN_S

    def happens(self, events, now):
        try:
            if events & selectors.EVENT_WRITE and not self.spoke:
                if words := self.first_words():
                    self.socket.send(words)
                self.spoke, self.due = True, now + BYTE_S
                # Who is deaf takes nothing; the others want to know when the host ends them.
                if self.kind == "deaf_stream":
                    self.crowd.selector.unregister(self.socket)
                else:
                    self.crowd.selector.modify(self.socket, selectors.EVENT_READ, self)
            elif events & selectors.EVENT_READ and not self.socket.recv(65536):
                self.go(now)
        except OSError:
            self.go(now)

    def moves(self, now):
        """Its time has come."""
        if self.socket is None:
            self.come(now)
        elif self.kind == "service_flood" or (self.kind == "half_open" and self.spoke):
            self.go(now, reset=True)  # nothing is said: the host finds out
        elif self.kind in ("slow_head", "slow_body", "service_slow") and self.spoke:
            self.due = now + BYTE_S
            try:
                self.socket.send(b" ")
            except OSError:
                self.go(now)
        elif self.kind == "deaf_stream" and self.spoke:
            self.due = now + BYTE_S
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.go(now)
        else:
            self.due = now + 3600


class Crowd:
    def __init__(self, api_port, service_port, count, token):
        self.api_port, self.service_port, self.token = api_port, service_port, token
        self.selector = selectors.DefaultSelector()
        self.came = dict.fromkeys(KINDS, 0)
        self.clients = [Client(self, KINDS[i % len(KINDS)]) for i in range(count)]

    def run(self):
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        said, looked = False, 0.0
        while True:
            events = self.selector.select(0.01)
            now = time.monotonic()
            for key, mask in events:
                if key.data is None:
                    return
                if key.data.socket is key.fileobj:
                    key.data.happens(mask, now)
            if now - looked < 0.02:
                continue
            looked = now
            for client in self.clients:
                if now >= client.due:
                    client.moves(now)
            if not said and sum(self.came.values()) >= len(self.clients):
                said = True
                print("ready", flush=True)


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    crowd.run()
    there = sum(client.socket is not None for client in crowd.clients)
    print(json.dumps({"came": crowd.came, "there": there}), flush=True)


if __name__ == "__main__":
    main()
