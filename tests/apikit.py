"""What tests of the REST API share: a manager and what it is told.

A test file imports the fixtures that its tests name, and those below them.
"""

import http.client
import json
import socket
import subprocess
import threading

import pytest

from storekit import BUILD, Store, ref, stop, wait_for

PROGRAM = BUILD / "src/manager/watari-manager"
TOKEN = "a-token-that-only-tests-know"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Manager:
    def __init__(self, store, name="manager", *args, **kwargs):
        self.folder = store.folder
        self.path = self.folder / f"{name}.sock"
        self.port = free_port()
        self.token_file = self.folder / "token"
        self.token_file.write_text(TOKEN + "\n")
        self.process = subprocess.Popen(
            [PROGRAM,
             f"--store={store.remote}", f"--unix={self.path}",
             f"--listen=127.0.0.1:{self.port}",
             f"--token-file={self.token_file}",
             f"--unixctl={self.folder}/{name}.ctl",
             f"--log-file={self.folder}/{name}.log", "-vconsole:off", *args],
            **kwargs)
        wait_for(self.ready, what="the manager")

    def ready(self):
        assert self.process.poll() is None
        try:
            return self.get("/sites")[0] == 200
        except (ConnectionError, FileNotFoundError):
            return False

    def call(self, method, path, body=None, headers=None, raw=None):
        """Returns the status and the parsed answer, over the socket."""
        connection = UnixConnection(self.path)
        return self.talk(connection, method, path, body, headers, raw)

    def call_tcp(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port,
                                                timeout=10)
        return self.talk(connection, method, path, body, headers)

    def talk(self, connection, method, path, body, headers=None, raw=None):
        data = raw if raw is not None else (
            json.dumps(body) if body is not None else None)
        if not path.startswith("/api"):
            path = "/api/v1" + path
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read()
        self.headers = dict(response.getheaders())
        connection.close()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            assert self.headers["Content-Type"] == "application/problem+json"
            assert answer["status"] == response.status
            assert answer["title"] and answer["detail"] and answer["type"]
        return response.status, answer

    def get(self, path):
        return self.call("GET", path)

    def follow(self):
        return Follower(self)

    def stop(self):
        stop(self.process)


class Follower:
    """Follows the event stream in a thread."""

    def __init__(self, manager):
        self.connection = UnixConnection(manager.path, timeout=None)
        self.connection.request("GET", "/api/v1/events", headers={
            "Accept": "text/event-stream"})
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert (self.response.getheader("Content-Type")
                == "text/event-stream")
        self.events = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        wait_for(lambda: ("hello", {}) in self.events, what="hello")

    def read(self):
        name = None
        try:
            for line in self.response:
                line = line.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    self.events.append((name, json.loads(line[6:])))
        except (OSError, ValueError):
            pass

    def wait(self, wanted, **members):
        def found():
            for event, data in self.events:
                if event == wanted and members.items() <= data.items():
                    return data
            return None
        return wait_for(found, what=f"{wanted} {members}")

    def close(self):
        self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.connection.close()


@pytest.fixture(name="store", scope="module")
def fixture_store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("api"))
    yield store
    store.stop()


@pytest.fixture(name="running", scope="module")
def fixture_running(store):
    manager = Manager(store)
    yield manager
    manager.stop()


TABLES = ("Event", "Migration", "Binding", "Instance", "Claim", "VM",
          "Endpoint", "Network", "Host", "Pool", "Site")


@pytest.fixture(name="manager")
def fixture_manager(store, running):
    """The manager, with an empty store."""
    for table in TABLES:        # One by one: interfaces go with their VM.
        store.transact({"op": "delete", "table": table, "where": []})
    wait_for(lambda: not running.get("/sites")[1]
             and not running.get("/events")[1], what="an empty store")
    yield running
    assert running.process.poll() is None, "the manager ended"


CONFIG = {
    "lab": "two-sites",
    "sites": {
        "tokyo": {"wan": "198.18.1.0/24", "wan6": "2001:db8:1::/64",
                  "pool": "198.18.1.100-198.18.1.199",
                  "pool6": "2001:db8:1::100-2001:db8:1::1ff",
                  "hosts": ["t1", "t2"]},
        "osaka": {"wan": "198.18.2.0/24", "wan6": "2001:db8:2::/64",
                  "pool": ["198.18.2.100-198.18.2.149",
                           "198.18.2.160-198.18.2.199"],
                  "hosts": ["o1"]},
    },
    "links": {"tokyo": {"delay": "5ms"}},
    "networks": {
        "blue": {"prefix": "10.255.0.0/24", "prefix6": "fd00:255::/64",
                 "mode": "rewrite", "gateways": ["t2"]},
        "red": {"prefix": "10.255.0.0/24", "gateway": "10.255.0.1",
                "id": 7, "mtu": 9000},
    },
    "vms": {
        "web1": {"host": "t1", "network": "blue", "address": "10.255.0.11",
                 "address6": "fd00:255::11", "memory": "256M",
                 "image": "mini"},
        "two": {"host": "o1", "memory": "128M", "vcpus": "2", "nics": [
            {"network": "blue", "address": "10.255.0.12"},
            {"network": "red", "address": "10.255.0.11",
             "mac": "52:54:00:11:22:33"}]},
    },
    "endpoints": {
        "alice": {"host": "o1", "network": "blue",
                  "address": "10.255.0.21", "address6": "fd00:255::21"},
    },
    "outside": {"bob": {"address": "203.0.113.10/24"}},
}


def changed(path, value, base=None):
    """CONFIG with one member set, or removed if the value is None."""
    document = json.loads(json.dumps(CONFIG if base is None else base))
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.fixture(name="applied")
def fixture_applied(manager):
    assert manager.call("PUT", "/config", CONFIG) == (
        200, {"result": "applied"})
    return manager


class Agent:
    """Plays the agents: writes what they would."""

    def __init__(self, store):
        self.store = store

    def uuid(self, table, name):
        row, = self.store.rows(table, ["name", "==", name])
        return row["_uuid"][1]

    def run(self, vm, host, counter=1, state="running"):
        return self.store.insert(
            "Instance", vm=ref(self.uuid("VM", vm)), epoch=1,
            counter=counter, host=ref(self.uuid("Host", host)), state=state)

    def bind(self, vm, host, counter, mobile):
        row, = self.store.rows("VM", ["name", "==", vm])
        interface = row["interfaces"]
        return self.store.insert(
            "Binding", interface=interface, network=row["networks"],
            epoch=1, counter=counter, host=ref(self.uuid("Host", host)),
            mobile=mobile, state="active")


@pytest.fixture(name="agent")
def fixture_agent(store, applied):
    return Agent(store)
