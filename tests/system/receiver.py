"""A receiver of webhooks: verifies each signature, and answers as it is told."""

import base64
import hashlib
import hmac
import http.server
import json
import threading

from harness import until


class Receiver:
    def __init__(self):
        self.got, self.wrong, self.secrets = [], [], {}
        self.status, self.held = {}, {}
        self.lock = threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    receiver.answer(self, body)
                except OSError:
                    pass  # the host gave up waiting

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def signed(self, headers, body, path):
        text = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.'.encode() + body
        key = base64.b64decode(self.secrets[path].removeprefix("whsec_"))
        mine = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return mine in headers["webhook-signature"].split()

    def answer(self, request, body):
        path = request.path
        with self.lock:
            # Who learns the secret only from the answer to its creation cannot know it sooner.
            if path in self.secrets and not self.signed(request.headers, body, path):
                self.wrong.append((path, body))
            self.got.append((path, request.headers["webhook-id"], json.loads(body),
                             request.headers))
            statuses = self.status.get(path, [])
            status = statuses.pop(0) if len(statuses) > 1 else (statuses or [200])[0]
            held = self.held.get(path)
        if held:
            held.wait(60)
        request.send_response(status)
        if status == 302:
            request.send_header("Location", self.url("/elsewhere"))
        request.send_header("Content-Length", "0")
        request.end_headers()

    def at(self, path):
        with self.lock:
            return [entry for entry in self.got if entry[0] == path]

    def until(self, path, look=lambda event: True):
        return until(lambda: next((entry for entry in self.at(path) if look(entry[2])), None),
                     f"something is sent to {path}")

    def stop(self):
        for held in self.held.values():
            held.set()
        self.server.shutdown()
        self.server.server_close()
