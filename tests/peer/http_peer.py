"""An HTTP peer for test_io_http: digest, TLS with certificates of its own, slow, too large and broken
answers. Prints "plain PORT", "tls PORT", "other PORT" (a certificate of another host), "key FILE",
"ca FILE", "other_ca FILE", "pin PIN", "ready"; ends with its input. test_io_mqtt uses the same key and
certificates."""

import base64
import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD, REALM, NONCE = "admin", "pass:w\u00f6rd", "peer", "dcd98b7102dd2f0e8b11d0f600bfb0c0"


def digest(algorithm, *parts):
    return hashlib.new(algorithm, ":".join(parts).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = 0

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        Handler.connections += 1

    def answer(self, body=b"", status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def raw(self, data):
        self.wfile.write(data)
        self.close_connection = True

    def wait_for_end(self):
        """Until the client goes."""
        self.wfile.flush()
        while self.connection.recv(4096):
            pass
        self.close_connection = True

    def with_digest(self, algorithm, name):
        given = self.headers.get("Authorization", "")
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given))
        if fields:
            a1 = digest(algorithm, USER, REALM, PASSWORD)
            a2 = digest(algorithm, self.command, self.path)
            right = digest(algorithm, a1, NONCE, fields["nc"], fields["cnonce"], fields["qop"], a2)
            if fields["response"] == right:
                self.answer(b"in as " + fields["username"].encode() + b" nc " + fields["nc"].encode())
                return
        challenge = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm={name}'
        self.answer(b"who are you?", 401, [("WWW-Authenticate", challenge)])

    def do_GET(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        path, _, query = self.path.partition("?")
        if path == "/count":
            self.answer(str(Handler.connections).encode())
        elif path == "/md5":
            self.with_digest("md5", "MD5")
        elif path == "/sha256":
            self.with_digest("sha256", "SHA-256")
        elif path == "/echo":
            self.answer(body, 200, [("X-Authorization", self.headers.get("Authorization", "none"))])
        elif path == "/size":
            self.answer(b"x" * int(query))
        elif path == "/endless":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    self.wfile.write(b"y" * 4096)
            except OSError:
                self.close_connection = True
        elif path == "/chunked":
            self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        elif path == "/heads":
            self.answer(b"", 200, [("X-%d" % i, "v" * 100) for i in range(int(query))])
        elif path == "/long":
            self.raw(b"HTTP/1.1 200 OK\r\nX: " + b"v" * int(query) + b"\r\n\r\n")
        elif path == "/closing":  # without having said so
            self.answer(body or b"bye")
            self.close_connection = True
        elif path == "/closed":  # how many connections this end has closed by now
            self.answer(str(self.server.closed).encode())
        elif path == "/silent":
            self.wait_for_end()
        elif path == "/half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            self.wait_for_end()
        elif path == "/cut":
            self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        elif path == "/gone":
            self.close_connection = True
        elif path == "/garbage":
            self.raw(b"\x00\x01\x02 SSH-2.0-nonsense\r\n\r\n" * 10)
        elif path == "/status":
            self.wfile.write(b"HTTP/1.1 " + query.encode() + b" X\r\nContent-Length: 0\r\n"
                             b"Connection: close\r\n\r\n")
            self.wait_for_end()  # who ends first is no question then
        elif path == "/to":
            self.answer(b"elsewhere", 302, [("Location", query)])
        elif path == "/loop":
            self.answer(b"again", 302, [("Location", "/loop")])
        else:
            self.answer(b"not here", 404)

    do_POST = do_PUT = do_GET


class Server(ThreadingHTTPServer):
    daemon_threads = True
    closed = 0

    def shutdown_request(self, request):
        super().shutdown_request(request)
        self.closed += 1

    def handle_error(self, request, client_address):
        pass  # clients that go are part of the tests


class TLSServer(Server):
    context = None

    def get_request(self):
        connection, address = super().get_request()
        connection.settimeout(30)
        return self.context.wrap_socket(connection, server_side=True,
                                        do_handshake_on_connect=False), address


def certificate(folder, name, subject):
    key, pem = f"{folder}/{name}.key", f"{folder}/{name}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", pem,
                    "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}"],
                   check=True, capture_output=True)
    return key, pem


def pin(pem):
    public = subprocess.run(["openssl", "x509", "-in", pem, "-noout", "-pubkey"], check=True,
                            capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public, check=True,
                         capture_output=True).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def serve_tls(key, pem):
    server = TLSServer(("127.0.0.1", 0), Handler)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(pem, key)
    return serve(server)


def main():
    with tempfile.TemporaryDirectory() as folder:
        own = certificate(folder, "own", "IP:127.0.0.1,DNS:localhost")
        other = certificate(folder, "other", "DNS:other.example")
        print("plain", serve(Server(("127.0.0.1", 0), Handler)))
        print("tls", serve_tls(*own))
        print("other", serve_tls(*other))
        print("key", own[0])
        print("ca", own[1])
        print("other_key", other[0])
        print("other_ca", other[1])
        print("pin", pin(own[1]))
        print("ready", flush=True)
        sys.stdin.read()  # the parent's end of it closes with the parent


if __name__ == "__main__":
    try:
        main()
    finally:
        os._exit(0)
