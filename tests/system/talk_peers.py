"""Devices that speak HTTP, UDP or MQTT, in Python and from the protocols: the peers that tests hold in their
hands. Each can go and come back at its address."""

import base64
import http.server
import json
import socket
import struct
import subprocess
import threading

from harness import free_port, until


class HttpMeter:
    """GET /status answers JSON; with a password only to those who know it (basic)."""

    def __init__(self, power=1234, password=None):
        self.power, self.password, self.refused = power, password, 0
        self.port = free_port()
        self.server = None
        self.start()

    def start(self):
        meter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                meter.connections.append(self.connection)

            def do_GET(self):
                due = meter.password and "Basic " + base64.b64encode(
                    f"admin:{meter.password}".encode()).decode()
                if due and self.headers.get("Authorization") != due:
                    meter.refused += 1
                    self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="meter"')])
                else:
                    self.answer(200, json.dumps({"power": meter.power, "none": None}).encode())

            def answer(self, status, body, headers=()):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.connections = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has gone by itself


class KebaStation:
    """A charging station by UDP as KEBA's guide has it; every datagram is remembered."""

    def __init__(self):
        self.port = 0
        self.socket = None
        self.lock = threading.Lock()
        self.heard = []
        self.current, self.enabled, self.failsafe = 32000, 1, (0, 0)
        self.start()

    def start(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, args=(self.socket,), daemon=True).start()

    def stop(self):
        """The power is gone, and with it what it was told."""
        gone, self.socket = self.socket, None
        waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        waker.sendto(b"bye", ("127.0.0.1", self.port))
        waker.close()
        gone.close()
        with self.lock:
            self.heard.clear()
            self.current, self.enabled, self.failsafe = 32000, 1, (0, 0)

    def commands(self):
        with self.lock:
            return [text for text in self.heard if not text.startswith("report")]

    def serve(self, mine):
        while self.socket is mine:
            try:
                data, sender = mine.recvfrom(2048)
            except OSError:
                return
            if self.socket is not mine:
                return
            with self.lock:
                self.heard.append(data.decode())
                answer = self.answer(data.decode().split())
            try:
                mine.sendto(answer.encode(), sender)
            except OSError:
                return

    def answer(self, words):
        if words == ["report", "1"]:
            return json.dumps({"ID": "1", "Product": "KC-P30", "Serial": "17619300", "Firmware": "P30"})
        if words == ["report", "2"]:
            return json.dumps({
                "ID": "2", "State": 3 if self.enabled else 5, "Plug": 7, "Enable sys": self.enabled,
                "Enable user": self.enabled, "Max curr": self.current, "Curr HW": 32000,
                "Curr user": self.current, "Tmo FS": self.failsafe[0], "Curr FS": self.failsafe[1]})
        if words == ["report", "3"]:
            flows = self.current if self.enabled else 0
            return json.dumps({"ID": "3", "U1": 230, "U2": 230, "U3": 230, "I1": flows, "I2": flows,
                               "I3": flows, "P": 3 * 230 * flows, "E pres": 0, "E total": 1000})
        if words[0] == "curr":
            self.current = int(words[1])
        elif words[0] == "ena":
            self.enabled = int(words[1])
        elif words[0] == "failsafe":
            self.failsafe = (int(words[1]), int(words[2]))
        else:
            return "TCH-ERR :unknown\n"
        return "TCH-OK :done\n"


class Broker:
    """A real mosquitto on a free port, which can be killed and started again."""

    def __init__(self, folder):
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", self.config],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.listens, "the broker listens")

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def publish(self, topic, value):
        """One message with QoS 0 over a connection of its own (MQTT 3.1.1, sections 3.1 and 3.3)."""
        def text(part):
            return struct.pack(">H", len(part)) + part.encode()

        def packet(kind, body):
            length, size = b"", len(body)
            while True:
                size, low = size >> 7, size & 127
                length += bytes([low | (128 if size else 0)])
                if not size:
                    return bytes([kind]) + length + body

        with socket.create_connection(("127.0.0.1", self.port), 10) as link:
            link.sendall(packet(0x10, text("MQTT") + bytes([4, 2, 0, 60]) + text("test")))
            assert link.recv(4)[:1] == b"\x20"
            link.sendall(packet(0x30, text(topic) + json.dumps(value).encode()))
            link.sendall(b"\xe0\x00")
