"""A store for tests: a real ovsdb-server in a temporary folder."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WATARI_BUILD", ROOT / "build"))
SCHEMA = ROOT / "schema/watari.ovsschema"


def wait_for(condition, timeout=10, what="condition"):
    """Waits until 'condition' returns something true, and returns that."""
    until = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"timed out waiting for {what}"
        time.sleep(0.02)


def stop(process):
    """Ends a child process that a test started."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Store:
    """One ovsdb-server with our schema, standalone or a one-node cluster."""

    def __init__(self, folder, cluster=True, schema=SCHEMA, options=()):
        self.folder = pathlib.Path(folder)
        self.options = options
        self.db = self.folder / "watari.db"
        self.socket = self.folder / "db.sock"
        self.remote = f"unix:{self.socket}"
        if cluster:
            subprocess.run(["ovsdb-tool", "create-cluster", self.db, schema,
                            f"unix:{self.folder}/raft.sock"], check=True)
        else:
            subprocess.run(["ovsdb-tool", "create", self.db, schema],
                           check=True)
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{self.socket}",
             f"--unixctl={self.folder}/db.ctl", "--no-chdir",
             f"--log-file={self.folder}/ovsdb-server.log",
             "-vconsole:off", "-vfile:info", *self.options, str(self.db)])
        wait_for(self.ready, what="ovsdb-server")

    def ready(self):
        assert self.process.poll() is None
        done = subprocess.run(
            ["ovsdb-client", "-t1", "get-schema-version", self.remote,
             "Watari"], capture_output=True, check=False)
        return done.returncode == 0

    def stop(self):
        stop(self.process)

    def pause(self):
        """It takes connections and requests, and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def transact(self, *operations):
        """Returns the results of 'operations', or raises."""
        done = subprocess.run(
            ["ovsdb-client", "-t10", "transact", self.remote,
             json.dumps(["Watari", *operations])],
            capture_output=True, text=True, check=True)
        results = json.loads(done.stdout)
        for result in results:
            if result and "error" in result:
                raise ValueError(json.dumps(result))
        return results

    def insert(self, table, uuid_name="row", **row):
        """Inserts a row, returns its UUID."""
        result = self.transact({"op": "insert", "table": table, "row": row,
                                "uuid-name": uuid_name})
        return result[0]["uuid"][1]

    def rows(self, table, *where):
        return self.transact({"op": "select", "table": table,
                              "where": list(where)})[0]["rows"]

    def row(self, table, uuid):
        return self.rows(table, ["_uuid", "==", ["uuid", uuid]])[0]

    def update(self, table, uuid, **row):
        self.transact({"op": "update", "table": table, "row": row,
                       "where": [["_uuid", "==", ["uuid", uuid]]]})

    def delete(self, table, uuid):
        self.transact({"op": "delete", "table": table,
                       "where": [["_uuid", "==", ["uuid", uuid]]]})


def ref(uuid):
    return ["uuid", uuid]


def refs(*uuids):
    return ["set", [ref(uuid) for uuid in uuids]]


class Proxy:
    """Stands between a program and the store, and can lose answers.

    It can be had in place of the store by who only asks for 'remote'.
    """

    def __init__(self, store, name="proxy"):
        self.store = store
        self.folder = store.folder
        self.path = store.folder / f"{name}.sock"
        self.remote = f"unix:{self.path}"
        self.fault = None
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self.store.socket))
            link = {"client": client, "server": server, "drop": None}
            for end in (self.ask, self.answer):
                threading.Thread(target=end, args=(link,),
                                 daemon=True).start()

    def lose_answer(self):
        """The next write is done; its answer gets lost with the connection."""
        self.fault = "lose"

    def do_twice(self):
        """The next write is done twice; the second's answer arrives.

        So does a server whose cluster was slow to say that it did the first.
        """
        self.fault = "twice"

    def ask(self, link):
        for message in messages(link["client"]):
            if message.get("method") == "transact" and self.fault:
                again = dict(message)
                if self.fault == "twice":
                    message["id"] = "the first"
                link["drop"] = (self.fault, message["id"])
                self.fault = None
                if link["drop"][0] == "twice":
                    send_message(link["server"], message)
                message = again
            send_message(link["server"], message)
        close(link)

    def answer(self, link):
        for message in messages(link["server"]):
            if link["drop"] and message.get("id") == link["drop"][1]:
                lost = link["drop"][0] == "lose"
                link["drop"] = None
                if lost:
                    break
                continue
            send_message(link["client"], message)
        close(link)

    def close(self):
        self.listener.close()


def messages(sock):
    """Yields the JSON values that arrive at 'sock'."""
    decoder = json.JSONDecoder()
    text = ""
    while True:
        try:
            data = sock.recv(65536)
        except OSError:
            return
        if not data:
            return
        text += data.decode()
        while text:
            try:
                value, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            yield value
            text = text[end:].lstrip()


def send_message(sock, message):
    try:
        sock.sendall(json.dumps(message).encode())
    except OSError:
        pass


def close(link):
    for name in ("client", "server"):
        try:
            link[name].shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class World:
    """Rows of a small world: two sites, two hosts, a network, a VM."""

    def __init__(self, store):
        self.store = store
        store.insert("Global", epoch=1)
        self.sites = {}
        self.hosts = {}
        for i, (site, host) in enumerate([("tokyo", "t1"), ("osaka", "o1")]):
            self.sites[site] = store.insert(
                "Site", name=site, prefixes=f"198.18.{i + 1}.0/24",
                routers=f"198.18.{i + 1}.1")
            store.insert("Pool", site=ref(self.sites[site]),
                         first=f"198.18.{i + 1}.100",
                         last=f"198.18.{i + 1}.109")
            self.hosts[host] = store.insert(
                "Host", name=host, site=ref(self.sites[site]),
                addresses=f"198.18.{i + 1}.2", memory_mib=4096)
        self.network = store.insert(
            "Network", name="blue", id=1, prefixes="10.255.0.0/24",
            routers="10.255.0.254", mtu=1500, mode="rewrite")
        self.vm, self.interface = self.add_vm("web1", "t1", 11)

    def add_vm(self, name, host, last):
        result = self.store.transact(
            {"op": "insert", "table": "Interface", "uuid-name": "nic",
             "row": {"mac": f"52:54:00:00:00:{last:02x}",
                     "network": ref(self.network),
                     "home": f"10.255.0.{last}", "pci": "0x3"}},
            {"op": "insert", "table": "VM", "row": {
                "name": name, "memory_kib": 65536, "vcpus": 1,
                "image": "mini", "machine": "pc-q35-7.2", "cpu": "qemu64",
                "interfaces": ["set", [["named-uuid", "nic"]]],
                "networks": refs(self.network),
                "host": ref(self.hosts[host]), "power": "running",
                "generation": 1}})
        return result[1]["uuid"][1], result[0]["uuid"][1]

    def add_migration(self, vm, source, destination, **more):
        return self.store.insert(
            "Migration", vm=ref(vm), vm_name="web1",
            source=ref(self.hosts[source]), source_name=source,
            destination=ref(self.hosts[destination]),
            destination_name=destination, state="requested", created=1,
            **more)


class Driver:
    """test-store-driver: store/'s functions, one command a line."""

    def __init__(self, store, host=None, remote=None, files=()):
        args = [BUILD / "src/store/test-store-driver", remote or store.remote]
        if host:
            args.append(host)
        args += files           # Key, certificate, CA.
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def send(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def answer(self):
        return self.process.stdout.readline().strip()

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def close(self):
        """At the end of its input it ends by itself, and well."""
        self.process.stdin.close()
        try:
            assert self.process.wait(15) == 0
        finally:
            stop(self.process)
