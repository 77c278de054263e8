"""The REST API: a real manager before a real store, without agents."""

import http.client
import json
import os
import socket
import subprocess
import threading
import time

import pytest

import storekit
from storekit import Store, World, ref, stop, wait_for

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
            [storekit.BUILD / "src/manager/watari-manager",
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


# What is there.

def test_empty_lists(manager):
    for kind in ("sites", "hosts", "networks", "vms", "endpoints",
                 "bindings", "services", "migrations", "policies", "events",
                 "links"):
        assert manager.get(f"/{kind}") == (200, [])
        assert manager.get(f"/{kind}/nothing")[0] == 404


def test_manager_makes_the_global_row(store, manager):
    wait_for(lambda: store.rows("Global"), what="the Global row")
    assert manager.get("/status")[1]["epoch"] == 1


def test_openapi(manager):
    """The document is OpenAPI, and each of its routes exists."""
    status, document = manager.get("/openapi.json")
    assert status == 200 and document["openapi"].startswith("3.1")
    ids = set()
    n_checked = 0
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert method in ("get", "put", "post", "delete")
            ids.add(operation["operationId"])
            assert operation["summary"]
            assert ("{" in path) == bool(operation["parameters"])
            good = [s for s in operation["responses"] if s != "default"]
            assert len(good) == 1 and 200 <= int(good[0]) < 300
            schema = (operation.get("requestBody", {}).get("content", {})
                      .get("application/json", {}).get("schema"))
            if schema:
                assert schema["type"] == "object" and schema["properties"]
            status, answer = manager.call(
                method.upper(), path.replace("{name}", "no-such-thing"),
                body={} if schema else None)
            n_checked += 1
            if "{" in path and "services" not in path:
                assert status == 404 or schema, (method, path, answer)
                assert "nothing at" not in answer["detail"]
            else:
                assert status in (200, 404, 422), (method, path, answer)
    assert len(ids) == n_checked >= 30
    kinds = {path.split("/")[3] for path in document["paths"]}
    assert kinds >= {"sites", "hosts", "networks", "vms", "endpoints",
                     "bindings", "services", "migrations", "policies",
                     "events", "links", "config"}


# The wire.

def test_token(manager):
    assert manager.call_tcp("GET", "/vms")[0] == 401
    assert manager.headers["WWW-Authenticate"] == "Bearer"
    for header in ("", "Bearer", "Bearer ", "Bearer x", f"Bearer {TOKEN}x",
                   f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN):
        status, _ = manager.call_tcp("GET", "/vms",
                                     headers={"Authorization": header})
        assert status == 401, header
    assert manager.call_tcp("PUT", "/config", {})[0] == 401
    assert manager.call_tcp(
        "GET", "/vms", headers={"Authorization": f"Bearer {TOKEN}"}) == (
            200, [])


def test_socket_is_for_root(manager):
    assert os.stat(manager.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("raw", [
    "", "{", "[]", '"text"', "7", "null", "{} {}", '{"a": 1,}', "\0",
    '{"sites": ' + "[" * 500 + "]" * 500 + "}",
    '{"sites": ' + '{"a":' * 40 + "1" + "}" * 40 + "}", b"\xff\xfe{}",
    b'{"sites": {"\xff": {}}}',
])
def test_bad_bodies(manager, raw):
    status, problem = manager.call("PUT", "/config", raw=raw)
    assert status in (400, 422), problem


def test_big_body(manager):
    raw = '{"lab": "' + "x" * (1024 * 1024) + '"}'
    status, problem = manager.call("PUT", "/config", raw=raw)
    assert status == 413 and "1048576" in problem["detail"]
    assert manager.get("/sites") == (200, [])


def test_unknown_paths_and_methods(manager):
    for path in ("/", "/api/v1/", "/api/v1/vm", "/api/v1/vms/", "/api/v2/vms",
                 "/api/v1/vms/a/b", "/api/v1/vms/a/start/b",
                 "/api/v1/vms/%2e%2e/%2e%2e", "/api/v1/vms/%ff%fe",
                 "/api/v1/%ff", "/api/v1/vms/%00", "/api/v1/vms/%e6%b8%a1"):
        path = path if path.startswith("/api") else "/api/v1" + path
        assert manager.call("GET", path)[0] in (404, 405), path
    status, problem = manager.call("DELETE", "/vms")
    assert status == 405 and manager.headers["Allow"] == "GET, POST"
    assert "GET, POST" in problem["detail"]
    assert manager.call("PATCH", "/vms/x")[0] == 405
    assert manager.call("GET", "/vms/x/start")[0] == 405


def test_garbage_on_the_wire(manager):
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00" * 50,
                 b"GET / HTTP/9.9\r\n\r\n", b"POST /api/v1/vms HTTP/1.1\r\n"
                 b"Content-Length: -1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(manager.path))
            sock.sendall(data)
            sock.settimeout(0.2)
            try:
                sock.recv(4096)
            except TimeoutError:
                pass            # It waits for the rest.
    assert manager.get("/vms") == (200, [])


def test_port_in_use(store, manager):
    done = subprocess.run(
        [storekit.BUILD / "src/manager/watari-manager",
         f"--store={store.remote}", f"--listen=127.0.0.1:{manager.port}",
         f"--token-file={manager.token_file}", "--unixctl=none",
         "-vconsole:off"], capture_output=True, text=True, timeout=10,
        check=False)
    assert done.returncode == 1
    assert (f"cannot listen on 127.0.0.1:{manager.port}: the port is in use"
            in done.stderr)
    done = subprocess.run(
        [storekit.BUILD / "src/manager/watari-manager",
         f"--store={store.remote}", f"--unix={manager.path}",
         "--unixctl=none", "-vconsole:off"], capture_output=True, text=True,
        timeout=10, check=False)
    assert done.returncode == 1 and "another manager" in done.stderr


@pytest.mark.parametrize("args", [
    [], ["--store=unix:x"], ["--store=unix:x", "--listen=127.0.0.1:1"],
    ["--store=unix:x", "--unix=y", "surplus"], ["--nonsense"]])
def test_usage(args):
    done = subprocess.run(
        [storekit.BUILD / "src/manager/watari-manager", *args],
        capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_inherited_socket(store, manager):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        command = [storekit.BUILD / "src/manager/watari-manager",
                   f"--store={store.remote}", f"--listen-fd={sock.fileno()}",
                   f"--token-file={manager.token_file}", "--unixctl=none",
                   "-vconsole:off"]
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=10, check=False,
                              pass_fds=[sock.fileno()])
        assert done.returncode == 1
        assert "is not a socket that listens" in done.stderr
        sock.listen()
        process = subprocess.Popen(command, pass_fds=[sock.fileno()])
        port = sock.getsockname()[1]
    try:
        def ask(headers):
            connection = http.client.HTTPConnection("127.0.0.1", port,
                                                    timeout=5)
            connection.request("GET", "/api/v1/vms", headers=headers)
            return connection.getresponse().status
        wait_for(lambda: ask({"Authorization": f"Bearer {TOKEN}"}) == 200)
        assert ask({}) == 401
    finally:
        stop(process)


# PUT /config.

def test_apply(applied):
    manager = applied
    sites = {s["name"]: s for s in manager.get("/sites")[1]}
    assert list(sites) == ["osaka", "tokyo"]
    assert sites["tokyo"]["router"] == "198.18.1.1"
    assert sites["tokyo"]["router6"] == "2001:db8:1::1"
    assert sites["tokyo"]["hosts"] == 2
    assert sites["osaka"]["pool"].count("-") == 2
    hosts = {h["name"]: h for h in manager.get("/hosts")[1]}
    assert hosts["t1"]["address"] == "198.18.1.2"
    assert hosts["t2"]["address6"] == "2001:db8:1::3"
    assert hosts["o1"]["site"] == "osaka"
    blue = manager.get("/networks/blue")[1]
    assert blue["gateway"] == "10.255.0.254"
    assert blue["gateway6"] == "fd00:255::fffe"
    assert blue["mtu"] == 1500 and blue["gateways"] == ["t2"]
    assert blue["mode"] == "rewrite" and blue["id"] not in (0, 7)
    red = manager.get("/networks/red")[1]
    assert (red["id"], red["mtu"], red["gateway"]) == (7, 9000, "10.255.0.1")
    web1 = manager.get("/vms/web1")[1]
    assert web1["host"] == "t1" and web1["site"] == "tokyo"
    assert web1["state"] == "pending" and web1["power"] == "running"
    assert web1["memory_kib"] == 256 * 1024 + 8
    assert web1["address6"] == "fd00:255::11"
    assert web1["mac"].startswith("52:54:00:")
    assert web1["machine"] == "pc-q35-7.2" and web1["cpu"] == "qemu64"
    assert manager.get("/vms/" + web1["uuid"])[1] == web1
    two = manager.get("/vms/two")[1]
    assert [nic["network"] for nic in two["nics"]] == ["blue", "red"]
    assert [nic["pci"] for nic in two["nics"]] == ["0x3", "0x4"]
    assert two["nics"][1]["mac"] == "52:54:00:11:22:33"
    assert two["vcpus"] == 2
    alice = manager.get("/endpoints/alice")[1]
    assert alice["kind"] == "declared" and alice["host"] == "o1"
    for item in manager.get("/vms")[1] + manager.get("/hosts")[1]:
        assert not any(isinstance(v, (list, dict)) for v in item.values())


def test_apply_is_idempotent(store, applied):
    def snapshot():
        return {table: sorted(json.dumps(row, sort_keys=True)
                              for row in store.rows(table))
                for table in TABLES}

    before = snapshot()
    assert applied.call("PUT", "/config", CONFIG)[0] == 200
    assert snapshot() == before


def test_apply_keeps_what_it_does_not_name(applied):
    assert applied.call("PUT", "/config", {})[0] == 200
    assert len(applied.get("/vms")[1]) == 2
    more = {"vms": {"web9": {"host": "t1", "network": "blue",
                             "address": "10.255.0.99"}}}
    assert applied.call("PUT", "/config", more)[0] == 200
    assert len(applied.get("/vms")[1]) == 3
    assert applied.get("/vms/web9")[1]["memory_kib"] == 262152


def test_apply_changes_pools(applied):
    document = changed("sites.osaka.pool", "198.18.2.50-198.18.2.60")
    assert applied.call("PUT", "/config", document)[0] == 200
    assert (applied.get("/sites/osaka")[1]["pool"]
            == "198.18.2.50-198.18.2.60")


def test_moved_vm_stays_where_it_is(store, agent, applied):
    store.update("VM", agent.uuid("VM", "web1"),
                 host=ref(agent.uuid("Host", "o1")))
    assert applied.call("PUT", "/config", CONFIG)[0] == 200
    assert applied.get("/vms/web1")[1]["host"] == "o1"


BAD = [
    ("sites", [], "sites: must be an object"),
    ("nonsense", {}, "nonsense: is not known"),
    ("services", {"s": {}}, "services are not available"),
    ("sites.tokyo.wan", "198.18.1.0/33", "sites.tokyo.wan"),
    ("sites.tokyo.wan", "198.18.1.1/24", "sites.tokyo.wan"),
    ("sites.tokyo.wan", "2001:db8::/64", "not an IPv4 prefix"),
    ("sites.tokyo.wan", "198.18.1.0/31", "no room"),
    ("sites.tokyo.wan", 7, "must be a string"),
    ("sites.tokyo.wan", "198.18.2.0/24", "overlaps"),
    ("sites.tokyo.pool", "198.18.1.9", "sites.tokyo.pool"),
    ("sites.tokyo.pool", "198.18.1.9-198.18.1.8", "sites.tokyo.pool"),
    ("sites.tokyo.pool", "198.18.1.1-198.18.1.9", "contains the site's rou"),
    ("sites.tokyo.pool", "198.18.1.3-198.18.1.9", "address of host t2"),
    ("sites.tokyo.pool", "198.18.3.3-198.18.3.9", "not in the site's"),
    ("sites.tokyo.pool", ["198.18.1.10-198.18.1.20",
                          "198.18.1.20-198.18.1.30"], "ranges overlap"),
    ("sites.tokyo.pool", ["198.18.1.10-198.18.1.20"] * 9, "more than 8"),
    ("sites.tokyo.hosts", ["t1", "o1"], "is at two sites"),
    ("sites.tokyo.hosts", ["osaka", "t1", "t2"], "has this name"),
    ("sites.tokyo.hosts", ["-t"], "is not a name"),
    ("sites.tokyo.hosts", {"t1": {}}, "a string or a list of strings"),
    ("sites.tokyo.router", "10.0.0.1", "is not in its network"),
    ("sites", {"a b": {}}, "its name must be"),
    ("sites", {"x" * 64: {}}, "its name must be"),
    ("networks.blue.mode", "overlay",
     "networks.blue.mode: mode overlay is not available in this version"),
    ("networks.blue.mode", "teleport", "must be rewrite, overlay"),
    ("networks.blue.prefix", "10.255.0.0", "networks.blue.prefix"),
    ("networks.blue.prefix6", "10.255.0.0/24", "not an IPv6 prefix"),
    ("networks.blue.gateway", "10.254.0.1", "is not in its prefix"),
    ("networks.blue.gateway", "fd00::1", "not an IPv4 address"),
    ("networks.blue.id", 7, "network blue has it"),
    ("networks.blue.id", 0, "between 1 and 16777215"),
    ("networks.blue.mtu", 100, "between 576 and 65535"),
    ("networks.blue.mtu", "big", "must be an integer"),
    ("networks.blue.encap", "carrier-pigeon", "gre, vxlan or geneve"),
    ("networks.blue.gateways", ["x9"], "no host x9"),
    ("networks.empty", {}, "needs a prefix"),
    ("vms.web1.host", "x9", "no host x9"),
    ("vms.web1.host", None, "vms.web1.host: is missing"),
    ("vms.web1.network", "green", "no network green"),
    ("vms.web1.network", None, "vms.web1.network: is missing"),
    ("vms.web1.address", "10.255.1.11", "not in network blue"),
    ("vms.web1.address", "10.255.0.254", "is the gateway"),
    ("vms.web1.address", "10.255.0.255", "not a host's"),
    ("vms.web1.address", "10.255.0.12", "is two's"),
    ("vms.web1.address", "10.255.0.21", "web1's"),
    ("vms.web1.address", "fd00:255::9", "not an IPv4 address"),
    ("vms.web1.address", "localhost", "vms.web1.address"),
    ("vms.web1.memory", "256T", "must be a size"),
    ("vms.web1.memory", "-256M", "must be a size"),
    ("vms.web1.memory", "1M", "between 16M"),
    ("vms.web1.memory", "99999G", "between 16M"),
    ("vms.web1.vcpus", 0, "between 1 and 255"),
    ("vms.web1.image", "../mini", "absolute path"),
    ("vms.web1.image", "/a,b", "commas"),
    ("vms.web1.machine", "q35,x=y", "commas"),
    ("vms.web1.cpu", "x" * 64, "longer than 63"),
    ("vms.web1.mac", "01:00:5e:00:00:01", "not a unicast MAC"),
    ("vms.web1.mac", "nonsense", "not a unicast MAC"),
    ("vms.web1.power", "off", "running or stopped"),
    ("vms.web1.speed", "fast", "vms.web1.speed: is not known"),
    ("vms.two.nics", [], "between 1 and 8"),
    ("vms.two.nics", [{"network": "blue"}], "address: is missing"),
    ("vms.two.nics.1.mac", "x", "vms.two.nics[1].mac"),
    ("vms.two.nics.0.colour", "x", "nics[0].colour: is not known"),
    ("vms.two.address", "10.255.0.7", "belong into its members"),
    ("endpoints.alice.memory", "1G", "memory: is not known"),
    ("endpoints.alice.host", "x9", "no host x9"),
]


@pytest.mark.parametrize("path, value, sentence", BAD)
def test_bad_documents(store, manager, path, value, sentence):
    status, problem = manager.call("PUT", "/config", changed(path, value))
    assert status == 422, problem
    assert any(sentence in error for error in problem["errors"]), problem
    assert problem["detail"].startswith("nothing was applied: ")
    assert not store.rows("Site")


def test_all_problems_at_once(store, manager):
    document = changed("vms.web1.host", "x9")
    document = changed("networks.red.mode", "anchor", document)
    document = changed("sites.osaka.wan", "x", document)
    status, problem = manager.call("PUT", "/config", document)
    assert status == 422 and len(problem["errors"]) >= 3
    assert not store.rows("Site")


def test_many_problems_are_bounded(manager):
    document = {"vms": {f"vm{i}": {} for i in range(500)}}
    status, problem = manager.call("PUT", "/config", document)
    assert status == 422 and len(problem["errors"]) == 100


@pytest.mark.parametrize("path, value, sentence", [
    ("vms.web1.memory", "512M", "pinned"),
    ("vms.web1.vcpus", 2, "pinned"),
    ("vms.web1.image", "/other", "pinned"),
    ("vms.web1.address", "10.255.0.77", "delete it first"),
    ("networks.red.id", 8, "ids do not change"),
    ("sites.osaka.hosts", ["o1", "t1"], "is at two sites"),
])
def test_what_cannot_change(applied, path, value, sentence):
    status, problem = applied.call("PUT", "/config", changed(path, value))
    assert status == 422
    assert any(sentence in error for error in problem["errors"]), problem


def test_hundreds_of_vms(manager):
    document = changed("networks.blue.prefix", "10.128.0.0/16")
    document["vms"] = {
        f"vm{i}": {"host": "t1", "network": "blue",
                   "address": f"10.128.{i // 200}.{i % 200 + 1}"}
        for i in range(400)}
    document["endpoints"] = {}
    document["networks"]["blue"].pop("prefix6")
    status, answer = manager.call("PUT", "/config", document)
    assert status == 200, answer
    vms = manager.get("/vms")[1]
    assert len(vms) == 400
    assert len({vm["mac"] for vm in vms}) == 400


# VMs.

def test_create_vm(applied):
    vm = {"name": "new", "host": "t2", "network": "blue",
          "address": "10.255.0.31", "memory": "100M", "power": "stopped"}
    status, answer = applied.call("POST", "/vms", vm)
    assert status == 201 and answer["name"] == "new"
    assert applied.headers["Location"] == "/api/v1/vms/new"
    assert answer["state"] == "stopped"
    assert answer["memory_kib"] == 102400 + 8
    status, problem = applied.call("POST", "/vms", vm)
    assert status == 409 and "already" in problem["detail"]
    status, problem = applied.call("POST", "/vms", {**vm, "name": "n2"})
    assert status == 422 and "is new's" in problem["detail"]
    status, problem = applied.call("POST", "/vms", {"name": "n 2"})
    assert status == 422 and len(problem["errors"]) >= 3


def test_defaults_come_from_the_host(store, agent, applied):
    store.update("Host", agent.uuid("Host", "t2"), facts=[
        "map", [["machine", "pc-i440fx-9.0"], ["cpu", "max"]]])
    vm = {"name": "new", "host": "t2", "network": "blue",
          "address": "10.255.0.31"}
    wait_for(lambda: applied.get("/hosts/t2")[1]["facts"], what="facts")
    _, answer = applied.call("POST", "/vms", vm)
    assert (answer["machine"], answer["cpu"]) == ("pc-i440fx-9.0", "max")


def test_start_and_stop(store, agent, applied):
    status, vm = applied.call("POST", "/vms/web1/stop")
    assert status == 200 and vm["power"] == "stopped"
    assert vm["state"] == "stopped"
    status, vm = applied.call("POST", "/vms/web1/start")
    assert status == 200 and vm["power"] == "running"
    agent.run("web1", "t1")
    assert wait_for(lambda: applied.get("/vms/web1")[1]["state"]
                    == "running")
    assert applied.call("POST", "/vms/nothing/start")[0] == 404


def test_delete_vm(store, agent, applied):
    agent.run("web1", "t1")
    agent.bind("web1", "t1", 1, "198.18.1.100")
    wait_for(lambda: applied.get("/vms/web1")[1]["state"] == "running")
    status, problem = applied.call("DELETE", "/vms/web1")
    assert status == 409 and "is running; stop it first" in problem["detail"]
    assert applied.call("DELETE", "/vms/web1?force=true") == (204, None)
    assert applied.call("DELETE", "/vms/web1")[0] == 404
    assert not store.rows("Instance") and not store.rows("Binding")
    assert applied.call("DELETE", "/vms/two") == (204, None)
    assert applied.call("PUT", "/config", CONFIG)[0] == 200


def test_bindings(agent, applied):
    agent.bind("web1", "t1", 1, "198.18.1.100")
    agent.bind("web1", "o1", 2, "198.18.2.100")
    bindings = wait_for(lambda: len(applied.get("/bindings")[1]) == 2
                        and applied.get("/bindings")[1])
    by_host = {b["host"]: b for b in bindings}
    assert by_host["o1"]["current"] and not by_host["t1"]["current"]
    assert by_host["o1"]["name"] == "web1"
    assert by_host["o1"]["mobile"] == "198.18.2.100"
    assert applied.get("/vms/web1")[1]["mobile"] == "198.18.2.100"
    assert applied.get("/bindings/" + bindings[0]["uuid"])[0] == 200


# Migrations.

@pytest.fixture(name="web1")
def fixture_web1(agent, applied):
    agent.run("web1", "t1")
    wait_for(lambda: applied.get("/vms/web1")[1]["state"] == "running")
    return "/vms/web1/migrations"


def test_migrate(store, agent, applied, web1):
    status, migration = applied.call("POST", web1, {
        "to": "o1", "options": {"with_disk": True, "max_ms": 30}})
    assert status == 202
    assert migration["vm"] == "web1" and migration["state"] == "requested"
    assert (migration["from"], migration["to"]) == ("t1", "o1")
    assert migration["result"] is None
    assert migration["options"] == {"with_disk": "true", "max_ms": "30"}
    uuid = migration["uuid"]
    assert applied.headers["Location"] == f"/api/v1/migrations/{uuid}"
    status, problem = applied.call("POST", web1, {"to": "o1"})
    assert status == 409 and "being migrated already" in problem["detail"]

    store.update("Migration", uuid, state="completed", finished=2,
                 step="release", figures=["map", [["total_ms", 812.5]]],
                 phases=["map", [["release", 1.0], ["check", 2.5],
                                 ["move", 700.0]]])
    done = wait_for(lambda: (m := applied.get(f"/migrations/{uuid}")[1])
                    ["result"] and m)
    assert done["result"] == "completed" and done["total_ms"] == 812.5
    assert [p["name"] for p in done["phases"]] == ["check", "move",
                                                   "release"]
    status, problem = applied.call("POST", f"/migrations/{uuid}/cancel")
    assert status == 409 and "completed" in problem["detail"]
    assert applied.call("POST", web1, {"to": "o1"})[0] == 202


def test_cancel(store, applied, web1):
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    status, migration = applied.call("POST", f"/migrations/{uuid}/cancel")
    assert status == 202 and migration["cancel"] is True
    assert store.row("Migration", uuid)["cancel"] is True
    assert applied.call("POST", "/migrations/x/cancel")[0] == 404


def test_migrate_to_a_site(store, agent, applied, web1):
    """The host with the most free memory is taken."""
    store.insert("Host", name="o2", site=ref(agent.uuid("Site", "osaka")),
                 memory_mib=8192)
    store.update("Host", agent.uuid("Host", "o1"), memory_mib=1024)
    wait_for(lambda: applied.get("/hosts/o2")[0] == 200)
    status, migration = applied.call("POST", web1, {"to": "osaka"})
    assert status == 202 and migration["to"] == "o2"


def test_no_room(store, agent, applied, web1):
    store.update("Host", agent.uuid("Host", "o1"), memory_mib=128)
    wait_for(lambda: applied.get("/hosts/o1")[1]["memory_mib"] == 128)
    status, problem = applied.call("POST", web1, {"to": "osaka"})
    assert status == 409 and "MiB free" in problem["detail"]


@pytest.mark.parametrize("body, status, sentence", [
    ({"to": "t1"}, 409, 'is on host "t1" already'),
    ({"to": "tokyo"}, 409, 'is at site "tokyo" already, on host "t1"'),
    ({"to": "x9"}, 422, 'no host and no site "x9"'),
    ({}, 422, "to: is missing"),
    ({"to": 7}, 422, "to: must be a name"),
    ({"to": "o1", "too": "o1"}, 422, "too: is not known"),
    ({"to": "o1", "options": {"a": [1]}}, 422, "options.a"),
    ({"to": "o1", "options": {"a" * 70: 1}}, 422, "options.a"),
    ({"to": "o1", "options": {f"a{i}": 1 for i in range(17)}}, 422,
     "more than 16"),
])
def test_bad_migrations(store, applied, web1, body, status, sentence):
    got, problem = applied.call("POST", web1, body)
    assert got == status and sentence in problem["detail"]
    assert not store.rows("Migration")


def test_only_running_vms_migrate(applied, web1):
    status, problem = applied.call("POST", "/vms/two/migrations",
                                   {"to": "t1"})
    assert status == 409 and "only a running VM" in problem["detail"]
    status, problem = applied.call("POST", "/vms/none/migrations",
                                   {"to": "t1"})
    assert status == 404
    assert applied.call("POST", web1)[0] == 400


def test_state_while_it_moves(store, agent, applied, web1):
    """The VM is where it runs, not where one waits for it."""
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    store.update("VM", agent.uuid("VM", "web1"), migration=ref(uuid))
    agent.run("web1", "o1", 2, "listening")
    wait_for(lambda: applied.get("/vms/web1")[1]["migration"] == uuid)
    vm = applied.get("/vms/web1")[1]
    assert (vm["host"], vm["state"]) == ("t1", "migrating")
    status, problem = applied.call("POST", "/vms/web1/stop")
    assert status == 409 and "being migrated" in problem["detail"]


# Events.

def test_stream(store, agent, applied, web1):
    follower = applied.follow()
    try:
        store.insert("Event", time=5, kind="vm", object="web1", host="t1",
                     text="started")
        event = follower.wait("event", text="started")
        assert event["kind"] == "vm" and event["time"] == 5
        uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
        assert follower.wait("migration", uuid=uuid, state="requested")

        # One that comes later begins with what is going on.
        late = applied.follow()
        assert late.wait("migration", uuid=uuid)
        late.close()
        store.update("Migration", uuid, state="running", step="listen")
        assert follower.wait("migration", uuid=uuid, step="listen")
        agent.run("web1", "o1", 2)
        assert follower.wait("vm", name="web1", host="o1")
        agent.bind("web1", "o1", 2, "198.18.2.100")
        assert follower.wait("binding", name="web1", mobile="198.18.2.100")
        applied.call("DELETE", "/vms/two")
        assert follower.wait("vm", gone=True)
    finally:
        follower.close()


def test_actions_are_events(store, agent, applied, web1):
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    applied.call("POST", f"/migrations/{uuid}/cancel")
    applied.call("POST", "/vms/two/stop")
    applied.call("POST", "/vms/two/stop")
    applied.call("DELETE", "/vms/two")
    events = {(e["kind"], e["object"], e["text"])
              for e in applied.get("/events")[1]}
    assert events == {
        ("vm", "web1", "created on t1"), ("vm", "two", "created on o1"),
        ("migration", "web1", "requested: t1 -> o1"),
        ("migration", "web1", "is to be cancelled"),
        ("vm", "two", "is to be stopped"), ("vm", "two", "deleted")}


def test_events_are_listed_in_order(store, manager):
    for time_ms in (3, 1, 2):
        store.insert("Event", time=time_ms, kind="vm", object="x",
                     text=f"event {time_ms}")
    events = wait_for(lambda: len(manager.get("/events")[1]) == 3
                      and manager.get("/events")[1])
    assert [event["time"] for event in events] == [1, 2, 3]
    limited = manager.get("/events?limit=2")[1]
    assert [event["time"] for event in limited] == [2, 3]
    assert manager.get("/events?limit=-3")[1] == events


def test_events_are_trimmed(store, manager):
    store.transact(*({"op": "insert", "table": "Event",
                      "row": {"time": i, "kind": "test"}}
                     for i in range(1100)))
    wait_for(lambda: len(store.rows("Event")) == 1000, what="the trim")
    assert min(row["time"] for row in store.rows("Event")) == 100


def test_streams_are_bounded(manager):
    followers = [manager.follow() for _ in range(64)]
    status, problem = manager.call("GET", "/events", headers={
        "Accept": "text/event-stream"})
    assert status == 503 and "64" in problem["detail"]
    for follower in followers:
        follower.close()

    # Their places are free once the manager has noticed that they left.
    def again():
        try:
            manager.follow().close()
            return True
        except AssertionError:
            return False
    wait_for(again, timeout=40, what="a free place")


# More than one manager; without a store.

def test_two_managers(store, applied):
    """Both answer; one is active, and the other one takes over."""
    second = Manager(store, "second")
    try:
        assert second.get("/vms/web1")[1] == applied.get("/vms/web1")[1]
        assert second.call("POST", "/vms/web1/stop")[0] == 200
        wait_for(lambda: applied.get("/vms/web1")[1]["power"] == "stopped")

        def role(name):
            return subprocess.run(
                ["ovs-appctl", "-t", store.folder / f"{name}.ctl",
                 "manager/status"], capture_output=True, text=True,
                check=True).stdout
        assert "role: active" in role("manager")
        assert "role: standby" in role("second")
    finally:
        second.stop()
    assert not second.path.exists()


def test_store_away(tmp_path):
    """Reads go on; a write says after a while that nobody answers."""
    store = Store(tmp_path)
    manager = Manager(store)
    try:
        assert manager.call("PUT", "/config", CONFIG)[0] == 200
        store.stop()
        assert len(manager.get("/vms")[1]) == 2
        wait_for(lambda: manager.get("/status")[1]["store"]
                 == "not connected")
        results = []
        thread = threading.Thread(target=lambda: results.append(
            manager.call("POST", "/vms/web1/stop")))
        thread.start()
        time.sleep(0.5)
        store.start()
        thread.join(20)
        assert results[0][0] == 200 and results[0][1]["power"] == "stopped"
    finally:
        manager.stop()
        store.stop()


def test_not_ready_without_a_store(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    process = subprocess.Popen(
        [storekit.BUILD / "src/manager/watari-manager",
         f"--store=unix:{tmp_path}/none", f"--unix={tmp_path}/m.sock",
         "--unixctl=none", "-vconsole:off"])
    try:
        wait_for((tmp_path / "m.sock").exists)

        class Plain(Manager):
            def __init__(self):
                self.path = tmp_path / "m.sock"
        manager = Plain()
        assert manager.get("/vms")[0] == 503
        assert manager.get("/openapi.json")[0] == 200
        assert manager.get("/status")[1]["store"] == "not connected"
    finally:
        stop(process)
