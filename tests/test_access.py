"""Who may write what: a store that checks roles, and certificates of two hosts.

o1 is the host whose certificate was stolen, t1 the one that has the VM.
"""
import json
import os
import socket
import ssl
import subprocess
import time

import pytest

from conftest import build_has
from storekit import BUILD, Driver, Store, World, ref, refs, stop, wait_for
from test_tls import ADDRESS, files, free_ports, options, pki

pytestmark = pytest.mark.skipif(not build_has("watari", "watari-manager"),
                                reason="needs a build")

DENIED = "permission error"


@pytest.fixture(name="certs", scope="module")
def fixture_certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for ca in "ours", "theirs":
        pki("init", folder / ca)
        for name in "t1", "o1", "x9", "store":
            pki("issue", folder / ca, name)
    return folder


def connect(store, tls=None):
    """A connection to the agents' door, with somebody's files or without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls:
        context.load_cert_chain(tls["certificate"], tls["private-key"])
    return context.wrap_socket(socket.create_connection((ADDRESS, store.port), timeout=5))


class RoleStore(Store):
    """A store as docs/deploy.md makes it, with a manager at its unix socket."""

    def __init__(self, folder, certs):
        super().__init__(folder, options=[
            "--remote=db:Watari,Global,connections", *options(files(certs, "store"))])
        self.certs = certs
        self.world = World(self)
        for name, uuid in self.world.hosts.items():
            self.update("Host", uuid, cn=name)
        self.port = free_ports(1)
        self.tls = f"ssl:{ADDRESS}:{self.port}"
        self.manager = subprocess.Popen([
            BUILD / "watari-manager", f"--store={self.remote}",
            f"--agents=pssl:{self.port}:{ADDRESS}", f"--unix={folder}/manager.sock",
            f"--unixctl={folder}/manager.ctl", f"--log-file={folder}/manager.log",
            "-vconsole:off"])
        wait_for(lambda: self.ask(files(certs, "t1")) == 0, what="the door for agents")
        wait_for(lambda: self.rows("Interface")[0]["hosts"] == ref(self.world.hosts["t1"]),
                 what="the owner of a VM")

    def ask(self, tls):
        return subprocess.run([
            "ovsdb-client", "-t3", *options(tls), "get-schema-version", self.tls, "Watari"],
            capture_output=True, check=False).returncode

    def close(self):
        stop(self.manager)
        self.stop()

    def write(self, who, *operations):
        """What the store answers to 'who': None, or the name of an error."""
        with connect(self, files(self.certs, who)) as connection:
            connection.sendall(json.dumps({"id": 1, "method": "transact", "params": [
                "Watari", *operations]}).encode())
            said = ""
            while True:
                said += connection.recv(65536).decode()
                try:
                    answer = json.loads(said)
                    break
                except json.JSONDecodeError:
                    continue
        assert answer["error"] is None
        for result in answer["result"]:
            if result and "error" in result:
                return result["error"]
        return None

    def events(self):
        return [row["text"] for row in self.rows("Event")]

    def __getitem__(self, name):
        return self.world.hosts[name]


@pytest.fixture(name="store", scope="module")
def fixture_store(tmp_path_factory, certs):
    store = RoleStore(tmp_path_factory.mktemp("store"), certs)
    yield store
    store.close()


def change(table, uuid, **row):
    return {"op": "update", "table": table, "where": [["_uuid", "==", ref(uuid)]], "row": row}


def gone(table, uuid):
    return {"op": "delete", "table": table, "where": [["_uuid", "==", ref(uuid)]]}


def new(table, **row):
    return {"op": "insert", "table": table, "row": row}


def binding(store, host, counter, **more):
    return new("Binding", **{
        "interface": ref(store.world.interface), "network": ref(store.world.network),
        "epoch": 1, "counter": counter, "host": ref(store[host]), "mobile": "198.18.1.100",
        "state": "active", "writer": host, **more})


def claim(store, host, address, **more):
    site = store.world.sites["tokyo" if host == "t1" else "osaka"]
    return new("Claim", **{"address": address, "site": ref(site), "host": ref(store[host]),
                           "state": "free", "since": 1, "writer": host, **more})


def driver(store, certs, name):
    """The agent's own code, with a certificate."""
    one = Driver(store, name, store.tls,
                 [certs / f"ours/{name}.key", certs / f"ours/{name}.crt", certs / "ours/ca.crt"])
    assert one("ready") == "ready"
    return one


def snapshot(store):
    """All rows, but for what the server says about its connections."""
    tables = ("Host", "VM", "Interface", "Binding", "Instance", "Claim", "Migration", "Global",
              "Site", "Pool", "Network", "RBAC_Role", "RBAC_Permission")
    return store.transact(*({"op": "select", "table": table, "where": []} for table in tables),
                          {"op": "select", "table": "Connection", "where": [],
                           "columns": ["target", "role"]})


@pytest.fixture(name="rows", scope="module")
def fixture_rows(store):
    """What t1 has, written with its own certificate."""
    w = store.world
    assert store.write("t1", binding(store, "t1", 1), claim(store, "t1", "198.18.1.100"),
                       new("Instance", vm=ref(w.vm), epoch=1, counter=1, host=ref(store["t1"]),
                           state="running", since=1, writer="t1"),
                       new("Event", time=1, kind="test", object="t1", host="t1", text="x")) is None
    migration = w.add_migration(w.vm, "t1", "o1", writer="t1")
    return {"binding": store.rows("Binding")[0]["_uuid"][1],
            "claim": store.rows("Claim")[0]["_uuid"][1],
            "instance": store.rows("Instance")[0]["_uuid"][1],
            "event": store.rows("Event", ["host", "==", "t1"])[0]["_uuid"][1],
            "migration": migration}


def attacks(store, rows):
    """What o1 may not do, each as one transaction."""
    w = store.world
    return {
        "a host's channel": [change("Host", store["t1"], channel="ssl:192.0.2.66:6650")],
        "a host's addresses": [change("Host", store["t1"], addresses="198.18.2.66")],
        "a host goes": [gone("Host", store["t1"])],
        "a host comes": [new("Host", name="h9", cn="o1", site=ref(w.sites["osaka"]))],
        "its own name": [change("Host", store["o1"], name="t2")],
        "its own certificate's name": [change("Host", store["o1"], cn="t1")],
        "a VM's host": [change("VM", w.vm, host=ref(store["o1"]))],
        "a VM's writer": [change("VM", w.vm, writer="o1")],
        "a VM's generation": [{"op": "mutate", "table": "VM", "where": [],
                               "mutations": [["generation", "+=", 9]]}],
        "a VM's image": [change("VM", w.vm, image="/tmp/x")],
        "a VM goes": [gone("VM", w.vm)],
        "a VM comes": [new("VM", name="x", memory_kib=65536, vcpus=1, power="running",
                           host=ref(store["t1"]), writer="o1")],
        "an interface's hosts": [change("Interface", w.interface, hosts=ref(store["o1"]))],
        "an interface's address": [change("Interface", w.interface, home="10.255.0.66")],
        "a binding moves": [change("Binding", rows["binding"], mobile="198.18.2.66")],
        "a binding ends": [gone("Binding", rows["binding"])],
        "a binding in another's name": [binding(store, "t1", 7)],
        "a binding without a writer": [binding(store, "o1", 7, writer="")],
        "an instance fails": [change("Instance", rows["instance"], state="failed")],
        "an instance goes": [gone("Instance", rows["instance"])],
        "a claim is released": [change("Claim", rows["claim"], state="resting")],
        "a claim goes": [gone("Claim", rows["claim"])],
        "a claim in another's name": [claim(store, "t1", "198.18.1.101")],
        "a migration is taken": [change("Migration", rows["migration"], state="completed")],
        "a migration goes elsewhere": [change("Migration", rows["migration"],
                                              destination=ref(store["t1"]))],
        "a migration is resolved": [change("Migration", rows["migration"],
                                           runs_on=ref(store["o1"]))],
        "a migration comes": [new("Migration", vm=ref(w.vm), vm_name="web1", state="requested",
                                  source=ref(store["o1"]), destination=ref(store["t1"]),
                                  writer="o1")],
        "an event is forged": [new("Event", time=1, kind="x", object="x", host="t1", text="x")],
        "an event goes": [gone("Event", rows["event"])],
        "the epoch": [{"op": "mutate", "table": "Global", "where": [],
                       "mutations": [["epoch", "+=", 1]]}],
        "a network": [change("Network", w.network, prefixes="10.0.0.0/8")],
        "a site": [gone("Site", w.sites["tokyo"])],
        "a pool": [new("Pool", site=ref(w.sites["osaka"]), first="198.18.1.1",
                       last="198.18.1.9")],
        "another door": [new("Connection", target="pssl:1", role="agent")],
        "the doors": [{"op": "update", "table": "Global", "where": [],
                       "row": {"connections": ["set", []]}}],
        "the rules": [{"op": "update", "table": "RBAC_Permission", "where": [],
                       "row": {"authorization": ""}}],
        "the role": [{"op": "delete", "table": "RBAC_Role", "where": []}],
        # With something that is permitted before it: all or nothing.
        "both": [new("Event", time=1, kind="x", object="x", host="o1", text="both"),
                 gone("VM", w.vm)],
    }


def test_other_hosts_rows(store, rows):
    before = snapshot(store)
    for name, operations in attacks(store, rows).items():
        assert store.write("o1", *operations) == DENIED, name
        assert snapshot(store) == before, name
    assert "both" not in store.events()


def test_nobody_in_particular(store, rows):
    """A certificate of no host: good for reading only."""
    before = snapshot(store)
    for name, operations in attacks(store, rows).items():
        assert store.write("x9", *operations) == DENIED, name
    assert store.write("x9", change("Host", store["o1"], memory_mib=1)) == DENIED
    assert snapshot(store) == before


def test_an_address_is_claimed_once(store, rows):
    """What t1 has claimed, o1 cannot claim as well."""
    assert store.write("o1", claim(store, "o1", "198.18.1.100")) == "constraint violation"
    assert len(store.rows("Claim", ["address", "==", "198.18.1.100"])) == 1


def test_own_rows(store, rows, certs):
    """The same with the right certificate, and by the agent's own code."""
    w = store.world
    for operations in ([change("Host", store["t1"], channel="ssl:192.0.2.1:6650")],
                       [change("Binding", rows["binding"], state="prepared")],
                       [change("Binding", rows["binding"], state="active")],
                       [change("Instance", rows["instance"], state="paused")],
                       [change("Claim", rows["claim"], state="used")],
                       [change("Migration", rows["migration"], step="check")]):
        assert store.write("t1", *operations) is None, operations
    t1 = driver(store, certs, "t1")
    try:
        assert t1("register", "t1", "tokyo", "ssl:192.0.2.1:6651") == "done"
        assert t1("claim", 4, 2) == "done"
        assert t1("detect", w.network, "52:54:00:aa:00:01", "10.255.0.77") == "done"
        t1("changes", 100)
        detected, = store.rows("Endpoint", ["kind", "==", "detected"])
        assert t1("address", detected["interfaces"][1], "fd00:255::77") == "done"
        assert t1("events", 1).endswith("done")
        assert t1("instance", w.vm, 1, 2, "running") == "done"
        assert t1("denied") == "nothing"
    finally:
        t1.close()


def test_a_move(store, rows, certs):
    """The source lets the destination in, and hands the VM over in the end."""
    w = store.world
    vm, nic = w.add_vm("web2", "t1", 12)
    wait_for(lambda: store.row("Interface", nic)["hosts"] == ref(store["t1"]), what="its owner")
    migration = w.add_migration(vm, "t1", "o1", writer="t1")
    t1, o1 = driver(store, certs, "t1"), driver(store, certs, "o1")
    try:
        o1("watch", w.network)
        assert o1("bind", nic, 1, 2, "active", "198.18.2.100") == "done"
        assert t1("newest", nic) == "none"              # Not yet: nobody believes it.
        wait_for(lambda: any('"o1" wrote a binding' in text for text in store.events()),
                 what="an event")
        assert not store.rows("Binding", ["interface", "==", ref(nic)])

        assert t1("changes", 100) is not None
        assert t1("reserve", vm, migration, 1) == "done"
        o1("changes", 200)
        assert o1("bind", nic, 1, 2, "active", "198.18.2.100") == "done"
        t1("changes", 200)
        assert t1("newest", nic) == "2 active 198.18.2.100"

        # The destination cannot help itself to it.
        begun = time.monotonic()
        answer = o1("moved", vm, migration, store["o1"])
        assert answer.startswith("refused") and DENIED in answer
        assert time.monotonic() - begun > 1             # Nobody tries that in a loop.
        assert DENIED in o1("denied")
        assert store.row("VM", vm)["writer"] == "t1"

        assert t1("moved", vm, migration, store["o1"]) == "done"
        row = store.row("VM", vm)
        assert (row["host"], row["writer"]) == (ref(store["o1"]), "o1")
        assert store.row("Interface", nic)["writer"] == "o1"
        assert store.write("t1", change("VM", vm, writer="t1")) == DENIED

        # As long as packets may come late, its last host may speak for it.
        assert sorted(store.row("Interface", nic)["hosts"][1]) \
            == sorted(refs(store["t1"], store["o1"])[1])
        store.update("Migration", migration, state="completed",
                     finished=int(time.time() * 1000) - 119000)
        wait_for(lambda: store.row("Interface", nic)["hosts"] == ref(store["o1"]),
                 what="its last host's end")
        o1("changes", 100)
        assert o1("bind", nic, 1, 2, "prepared", "198.18.2.100") == "done"
    finally:
        t1.close()
        o1.close()


def test_what_a_role_cannot_see(store, rows):
    """Rows that o1 may insert and that speak for others: believed by nobody, and gone."""
    w = store.world

    def forged(operation, sentence):
        store.transact({"op": "delete", "table": "Event", "where": []})
        assert store.write("o1", operation) is None
        wait_for(lambda: any(sentence in text for text in store.events()), what=sentence)

    forged(binding(store, "o1", 99), '"o1" wrote a binding of 52:54:00:00:00:0b')
    assert not store.rows("Binding", ["counter", "==", 99])
    forged(binding(store, "t1", 98, writer="o1"), '"o1" wrote a binding')
    assert not store.rows("Binding", ["counter", "==", 98])
    forged(claim(store, "t1", "198.18.1.50", writer="o1"), '"o1" wrote a claim of 198.18.1.50')
    forged(claim(store, "o1", "198.18.1.51", site=ref(w.sites["tokyo"])),
           '"o1" wrote a claim of 198.18.1.51')
    forged(new("Instance", vm=ref(w.vm), epoch=9, counter=9, host=ref(store["o1"]),
               state="running", since=1, writer="o1"), '"o1" wrote an instance of web1')
    wait_for(lambda: not store.rows("Claim", ["writer", "==", "o1"])
             and not store.rows("Instance", ["writer", "==", "o1"]), what="the end of all")


def test_a_manager_comes_by_the_other_door(store, certs, tmp_path):
    """A manager's certificate is nothing special here: it may read."""
    log = tmp_path / "manager.log"
    process = subprocess.Popen([
        BUILD / "watari-manager", f"--store={store.tls}", f"--unix={tmp_path}/m.sock",
        f"--unixctl={tmp_path}/m.ctl", f"--log-file={log}", "-vconsole:off",
        *options(files(certs, "x9"))])
    try:
        wait_for(lambda: log.exists() and "the store is connected" in log.read_text(),
                 what="the manager")
        done = subprocess.run([BUILD / "watari", "vm", "stop", "web1"], text=True,
                              capture_output=True, check=False,
                              env={**os.environ, "WATARI": f"unix:{tmp_path}/m.sock"})
        assert done.returncode == 1 and DENIED in done.stderr
        assert DENIED in log.read_text()
        assert store.row("VM", store.world.vm)["power"] == "running"
    finally:
        stop(process)


# Who comes in at all.

def expired(certs, folder, name):
    """A certificate of our authority whose time has passed."""
    key, csr, crt = (folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
    for words in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-subj", f"/CN={name}", "-keyout", key, "-out", csr],
                  ["x509", "-req", "-in", csr, "-CA", certs / "ours/ca.crt", "-CAkey",
                   certs / "ours/ca.key", "-set_serial", "7", "-days", "-1", "-out", crt]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return {"private-key": key, "certificate": crt, "ca-cert": certs / "ours/ca.crt"}


def test_who_comes_in(store, certs, tmp_path):
    assert store.ask(files(certs, "t1")) == 0
    foreign = {**files(certs, "t1", "theirs"), "ca-cert": certs / "ours/ca.crt"}
    assert store.ask(foreign) != 0
    assert store.ask(expired(certs, tmp_path, "t1")) != 0

    # None at all; the refusal may come with the first answer.
    for come in connect, lambda store: socket.create_connection((ADDRESS, store.port), 5):
        try:
            with come(store) as connection:
                connection.sendall(b'{"id":1,"method":"list_dbs","params":[]}')
                said = connection.recv(1000)
        except (ssl.SSLError, ConnectionError):
            said = b""
        assert b"Watari" not in said


# Failing closed.

def test_no_rule_is_no_permission(store, rows):
    """Without its role's row nobody may write; the manager makes it again."""
    role, = store.rows("RBAC_Role")
    t1 = change("Host", store["t1"], memory_mib=4097)
    results = []
    for _ in range(20):
        store.delete("RBAC_Role", role["_uuid"][1])
        results.append(store.write("t1", t1))
        wait_for(lambda: store.rows("RBAC_Role"), what="the role")
        role, = store.rows("RBAC_Role")
        if DENIED in results:
            break
    assert DENIED in results
    assert store.write("t1", t1) is None


@pytest.mark.parametrize("role", ["", "manager", None])
def test_no_door_without_a_role(store, role):
    row = {"target": "pssl:1"}
    if role is not None:
        row["role"] = role
    with pytest.raises(ValueError, match="constraint violation"):
        store.transact({"op": "insert", "table": "Connection", "uuid-name": "c", "row": row},
                       {"op": "mutate", "table": "Global", "where": [], "mutations": [
                           ["connections", "insert", ["named-uuid", "c"]]]})


def test_the_manager_mends(store):
    """What somebody changed by hand is as it was a second later."""
    def rules():
        return sorted((row["table"], json.dumps(row["authorization"]),
                       json.dumps(row["insert_delete"]), json.dumps(row["update"]))
                      for row in store.rows("RBAC_Permission"))

    before = rules()
    assert len(before) == 9
    store.transact({"op": "update", "table": "RBAC_Permission",
                    "where": [["table", "==", "VM"]],
                    "row": {"authorization": "", "insert_delete": True}},
                   {"op": "insert", "table": "RBAC_Permission", "row": {"table": "Site"}})
    wait_for(lambda: rules() == before, what="the rules")
    store.transact({"op": "update", "table": "Global", "where": [],
                    "row": {"connections": ["set", []]}})
    wait_for(lambda: len(store.rows("Connection")) == 1, what="the door")
    wait_for(lambda: store.ask(files(store.certs, "t1")) == 0, what="the open door")


def test_no_manager_was_there_yet(tmp_path, certs):
    """A new store has no door at all."""
    store = Store(tmp_path, options=["--remote=db:Watari,Global,connections",
                                     *options(files(certs, "store"))])
    try:
        assert not store.rows("Connection")
    finally:
        store.stop()


@pytest.mark.parametrize("text", ["ptcp:6640", "punix:/tmp/x", "ssl:1.2.3.4:6640", "pssl:x", ""])
def test_doors_need_certificates(tmp_path, text):
    done = subprocess.run([BUILD / "watari-manager", f"--store=unix:{tmp_path}/x",
                           f"--unix={tmp_path}/y", f"--agents={text}"], text=True,
                          capture_output=True, check=False, timeout=10)
    assert done.returncode == 2 and "agents" in done.stderr
