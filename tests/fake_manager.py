"""A manager that knows one VM and one migration, for tests of the command line: it listens on a
unix socket, remembers what it was asked, and answers what the test has put into it."""
import contextlib
import http.server
import json
import os
import socketserver
import threading

UUID = "7a9f4d0e-0000-4000-8000-000000000001"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def get_request(self):
        request, _ = super().get_request()
        return request, ("local", 0)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        fake.requests.append((self.command, self.path, body))
        if self.path == "/api/v1/events" and "event-stream" in self.headers.get("Accept", ""):
            self.stream(fake)
            return
        status, reply = fake.answers.get((self.command, self.path), (404, {
            "type": "about:blank", "title": "Not Found", "status": 404,
            "detail": f"there is nothing at {self.path}"}))
        if callable(reply):
            reply = reply()
        data = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_DELETE = do

    def stream(self, fake):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        with contextlib.suppress(OSError):
            for name, data in fake.events:
                self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            self.wfile.flush()
            if fake.hold:
                fake.released.wait(10)


class FakeManager:
    def __init__(self, path):
        self.requests = []      # (method, path, body)
        self.answers = {}       # (method, path): (status, body or function)
        self.events = []        # (name, data)
        self.hold = True        # Does the stream stay open?
        self.released = threading.Event()
        self.path = path
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.server = Server(str(path), Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method, path, body, status=200):
        self.answers[method, f"/api/v1{path}"] = status, body

    def problem(self, method, path, status, detail):
        self.answer(method, path, {"type": "about:blank", "title": "No", "status": status,
                                   "detail": detail}, status)


def migration(state="running", step="move", **more):
    return {"uuid": UUID, "vm": "web1", "from": "t1", "to": "o1", "state": state, "step": step,
            "result": None if state in ("requested", "running") else state, "error": None,
            "copied": 0, "total": 0, "cancel": False, "phases": [], "options": {}, **more}


COMPLETED = migration("completed", "release", total_ms=2345.5, blackout_ms=7.9,
                      blackout_error_ms=0.2, bytes=1234567, relayed_packets=3,
                      phases=[{"name": name, "ms": 1.5} for name in
                              ("check", "reserve", "listen", "move", "announce", "release")])
