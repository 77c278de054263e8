"""The store: schema, replica, writes, against a real ovsdb-server."""

import json
import subprocess

import pytest

import storekit
from storekit import Driver, Proxy, Store, World, ref, wait_for

OLD_SCHEMA = storekit.ROOT / "tests/schema/watari-1.0.0.ovsschema"


@pytest.fixture(name="store")
def fixture_store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.stop()


@pytest.fixture(name="world")
def fixture_world(store):
    return World(store)


@pytest.fixture(name="drivers")
def fixture_drivers(store, world):
    drivers = [Driver(store, "t1"), Driver(store, "t1")]
    for driver in drivers:
        assert driver("ready") == "ready"
    yield drivers
    for driver in drivers:
        driver.close()


@pytest.fixture(name="t1")
def fixture_t1(drivers):
    return drivers[0]


def test_documentation_names_every_column():
    """docs/schema.md has one row for each column, and none else."""
    schema = json.loads(storekit.SCHEMA.read_text())
    columns = {(table, column) for table, t in schema["tables"].items()
               for column in t["columns"]}
    documented = set()
    table = None
    for line in (storekit.ROOT / "docs/schema.md").read_text().splitlines():
        if line.startswith("### "):
            table = line[4:].split()[0]
        elif line.startswith("| `") and table:
            assert len(line.split("|")) == 5, line
            documented.add((table, line.split("`")[1]))
        elif line.startswith("## "):
            table = None
    assert documented == columns


@pytest.mark.parametrize("cluster", [False, True])
def test_old_store_converts(tmp_path, cluster):
    """A store of schema 1.0.0 with rows becomes one of today."""
    store = Store(tmp_path, cluster, OLD_SCHEMA)
    try:
        world = World(store)
        before = store.row("VM", world.vm)
        del before["_version"]
        if cluster:
            subprocess.run(["ovsdb-client", "-t10", "convert", store.remote,
                            storekit.SCHEMA], check=True)
        else:
            store.stop()
            subprocess.run(["ovsdb-tool", "convert", store.db,
                            storekit.SCHEMA], check=True)
            store.start()
        version = json.loads(storekit.SCHEMA.read_text())["version"]
        got = subprocess.run(["ovsdb-client", "get-schema-version",
                              store.remote, "Watari"], check=True,
                             capture_output=True, text=True).stdout.strip()
        assert got == version
        assert before.items() <= store.row("VM", world.vm).items()
        driver = Driver(store, "t1")
        assert driver("ready") == "ready"
        assert driver("vm", world.vm).startswith("web1 nics=1")
        driver.close()
    finally:
        store.stop()


def add_far(store, world):
    """A VM of o1 in a network that t1 has nothing to do with: network, interface, VM."""
    other = store.insert("Network", name="red", id=2, mode="rewrite",
                         mtu=1500, prefixes="10.1.0.0/24")
    result = store.transact(
        {"op": "insert", "table": "Interface", "uuid-name": "nic",
         "row": {"mac": "52:54:00:00:01:01", "network": ref(other)}},
        {"op": "insert", "table": "VM", "uuid-name": "vm", "row": {
            "name": "far", "memory_kib": 65536, "vcpus": 1,
            "interfaces": ["set", [["named-uuid", "nic"]]],
            "networks": ref(other), "host": ref(world.hosts["o1"]),
            "power": "running"}},
        {"op": "insert", "table": "Binding", "row": {
            "interface": ["named-uuid", "nic"], "network": ref(other),
            "epoch": 1, "counter": 1, "host": ref(world.hosts["o1"]),
            "mobile": "198.18.2.100", "state": "active"}})
    return other, result[0]["uuid"][1], result[1]["uuid"][1]


def test_replica_is_conditioned(store, world, t1):
    """A host sees its own VMs, and bindings of networks that it has."""
    other, nic, vm = add_far(store, world)
    near, near_nic = world.add_vm("near", "o1", 12)
    store.insert("Binding", interface=ref(near_nic),
                 network=ref(world.network), epoch=1, counter=1,
                 host=ref(world.hosts["o1"]), state="active",
                 mobile="198.18.2.101")

    changes = t1("changes", 300).split()
    assert f"Network:{other}" in changes
    assert f"Interface:{near_nic}" in changes
    assert f"Binding:{near_nic}" in changes
    assert f"Binding:{nic}" not in changes
    assert f"VM:{vm}" not in changes and f"VM:{near}" not in changes
    assert t1("newest", nic) == "none"
    assert t1("newest", near_nic) == "1 active 198.18.2.101"
    assert t1("vm", world.vm) == ("web1 nics=1 power=1 counter=1 pci=0x3 "
                                  "mtu=1500 len=24")

    assert t1("watch", other) == "ready"
    assert t1("newest", nic) == "1 active 198.18.2.100"

    # A migration brings the VM, and with it the network.
    o1 = Driver(store, "o1")
    assert o1("ready") == "ready"
    migration = world.add_migration(world.vm, "t1", "o1")
    assert t1("changes", 200)
    assert t1("reserve", world.vm, migration, 1) == "done"
    changes = o1("changes", 300).split()
    assert f"Migration:{migration}" in changes
    assert f"VM:{world.vm}" in changes
    assert o1("vm", world.vm).startswith("web1 nics=1")
    o1.close()


def test_changes_are_a_level(store, world, t1):
    t1("changes", 100)
    assert t1("changes", 100) == ""
    binding = store.insert(
        "Binding", interface=ref(world.interface),
        network=ref(world.network), epoch=1, counter=7,
        host=ref(world.hosts["o1"]), state="prepared")
    assert t1("changes", 200) == f"Binding:{world.interface}"
    store.delete("Binding", binding)
    assert t1("changes", 200) == f"Binding:{world.interface}"
    store.insert("Network", name="red", id=2, mode="rewrite", mtu=1500)
    red = t1("changes", 200)
    assert red.startswith("Network:")
    store.delete("Network", red.split(":")[1])
    assert t1("changes", 200) == "-" + red


def test_bindings_newest_wins(world, t1):
    nic = world.interface
    assert t1("bind", nic, 1, 3, "prepared", "198.18.1.103") == "done"
    assert t1("bind", nic, 1, 2, "active", "198.18.1.102") == "done"
    assert t1("newest", nic, "any") == "3 prepared 198.18.1.103"
    assert t1("newest", nic, "active") == "2 active 198.18.1.102"
    assert t1("newest", nic, "list") == "2 3 2"
    assert t1("bind", nic, 1, 3, "active", "198.18.1.103") == "done"
    assert t1("newest", nic, "active") == "3 active 198.18.1.103"
    assert t1("bind", nic, 2, 1, "active", "198.18.1.104") == "done"
    assert t1("newest", nic, "active") == "1 active 198.18.1.104"
    assert t1("unbind", nic, 2, 1) == "done"
    assert t1("unbind", nic, 2, 1) == "done"
    assert t1("newest", nic, "active") == "3 active 198.18.1.103"


def test_only_its_host_writes_a_binding(store, world, t1):
    store.insert("Binding", interface=ref(world.interface),
                 network=ref(world.network), epoch=1, counter=5,
                 host=ref(world.hosts["o1"]), state="active")
    t1("changes", 200)
    answer = t1("bind", world.interface, 1, 5, "active", "198.18.1.105")
    assert answer.startswith("refused") and "another host" in answer


def test_rows_on_their_way_are_waited_for(store, world, t1):
    """A binding may be written before its interface has arrived."""
    nic = "12345678-1234-4234-8234-123456789abc"
    t1.send("bind", nic, 1, 1, "active")
    store.transact(
        {"op": "insert", "table": "Interface", "uuid": nic,
         "uuid-name": "nic", "row": {"mac": "52:54:00:00:00:99",
                                     "network": ref(world.network)}},
        {"op": "mutate", "table": "VM", "where": [],
         "mutations": [["interfaces", "insert",
                        ["set", [["named-uuid", "nic"]]]]]})
    assert t1.answer() == "done"
    answer = t1("bind", nic[:-1] + "0", 1, 1, "active")
    assert answer.startswith("refused") and "no interface" in answer


def test_claims_are_unique(store, world, drivers):
    """Two clients that claim all they can never get the same address."""
    for driver in drivers:
        driver.send("claim", 4, 5)
    assert [driver.answer() for driver in drivers] == ["done", "done"]
    claims = store.rows("Claim")
    assert len(claims) == 10
    assert len({claim["address"] for claim in claims}) == 10
    assert wait_for(lambda: drivers[0]("count", 4) == "10 0"
                    or drivers[0]("changes", 50) is None)
    answer = drivers[0]("claim", 4, 1)
    assert answer.startswith("refused") and "no free IPv4" in answer
    assert "no free IPv6" in drivers[0]("claim", 6, 1)


def test_claims_race_many_times(store, world, drivers):
    """One address at a time, from both: conflicts are tried again."""
    for _ in range(5):
        for driver in drivers:
            driver.send("claim", 4, 1)
        assert [driver.answer() for driver in drivers] == ["done", "done"]
    assert len({claim["address"] for claim in store.rows("Claim")}) == 10


def test_claim_life(store, world, t1):
    assert "no free" in t1("take", 4)
    assert t1("claim", 4, 2) == "done"
    t1("changes", 100)
    assert t1("count", 4) == "2 8"
    first, second = t1("take", 4), t1("take", 4)
    assert first != second and first.startswith("198.18.1.10")
    assert "refused" in t1("take", 4)
    t1("changes", 100)

    def state(address):
        rows = store.rows("Claim", ["address", "==", address])
        return rows[0]["state"] if rows else None

    assert state(first) == state(second) == "used"
    assert t1("rest", first) == "done"
    assert state(first) == "resting"
    assert t1("trim", 50000) == "done" and state(first) == "resting"
    assert t1("trim", 61000) == "done" and state(first) is None
    assert state(second) == "used"


def test_leftovers_rest(store, world, t1):
    """Used addresses that no binding of this host has; nothing else."""
    assert t1("claim", 4, 3) == "done"
    t1("changes", 100)
    bound, lost = t1("take", 4), t1("take", 4)
    assert t1("bind", world.interface, 1, 1, "active", bound) == "done"
    store.insert("Binding", interface=ref(world.interface),
                 network=ref(world.network), epoch=1, counter=2,
                 host=ref(world.hosts["o1"]), mobile=lost, state="active")
    t1("changes", 100)
    assert t1("leftovers") == "done"
    states = {row["address"]: row["state"] for row in store.rows("Claim")}
    assert states.pop(bound) == "used"
    assert states.pop(lost) == "resting"
    assert list(states.values()) == ["free"]


def test_unfinished_migrations_by_age(store, world, t1):
    young, old, ended = (world.add_migration(world.vm, "t1", "o1")
                         for _ in range(3))
    world.add_migration(world.vm, "o1", "t1")       # Not ours.
    store.update("Migration", young, created=7)
    store.update("Migration", old, created=3, state="running")
    store.update("Migration", ended, state="completed")
    t1("changes", 100)
    assert t1("list") == (f"vm:{world.vm} migration:{old} "
                          f"migration:{young} epoch:1")


def test_reserve_is_compare_and_set(store, world, drivers):
    """Of two that reserve at once exactly one wins, again and again."""
    for counter in range(1, 21, 2):
        migrations = [world.add_migration(world.vm, "t1", "o1")
                      for _ in drivers]
        for driver in drivers:
            driver("changes", 50)
        for driver, migration in zip(drivers, migrations):
            driver.send("reserve", world.vm, migration, counter)
        answers = [driver.answer() for driver in drivers]
        assert sorted(a.split()[0] for a in answers) == ["done", "refused"]
        winner = answers.index("done")
        vm = store.row("VM", world.vm)
        assert vm["generation"] == counter + 2
        assert vm["migration"] == ref(migrations[winner])

        # Once more is done already; a late end by the loser is nothing.
        assert drivers[winner]("reserve", world.vm, migrations[winner],
                               counter) == "done"
        assert drivers[0]("unreserve", world.vm,
                          migrations[1 - winner]) == "done"
        assert store.row("VM", world.vm)["migration"] != ["set", []]
        assert drivers[0]("unreserve", world.vm,
                          migrations[winner]) == "done"
        assert store.row("VM", world.vm)["migration"] == ["set", []]
        drivers[1]("changes", 50)


def test_stale_counter_is_refused(store, world, t1):
    migration = world.add_migration(world.vm, "t1", "o1")
    t1("changes", 100)
    assert "generation 1, not 0" in t1("reserve", world.vm, migration, 0)
    assert t1("list") == (f"vm:{world.vm} migration:{migration} epoch:1")


def test_moved_vm_belongs_to_its_new_host(store, world, t1):
    migration = world.add_migration(world.vm, "t1", "o1")
    t1("changes", 100)
    o1 = world.hosts["o1"]
    assert t1("moved", world.vm, migration, o1).startswith("refused")
    assert t1("reserve", world.vm, migration, 1) == "done"
    assert t1("moved", world.vm, migration, o1) == "done"
    vm = store.row("VM", world.vm)
    assert vm["host"] == ref(o1) and vm["migration"] == ["set", []]
    assert f"-VM:{world.vm}" in t1("changes", 200).split()


def test_writes_survive_a_restart(store, world, t1):
    """A write queued while the store is away is done when it is back."""
    migration = world.add_migration(world.vm, "t1", "o1")
    t1("changes", 100)
    store.stop()
    t1.send("reserve", world.vm, migration, 1)
    t1.send("progress", migration, "listen")
    t1.send("bind", world.interface, 1, 2, "active", "198.18.1.100")
    store.start()
    assert [t1.answer() for _ in range(3)] == ["done"] * 3
    assert store.row("VM", world.vm)["generation"] == 3
    row = store.row("Migration", migration)
    assert row["step"] == "listen" and row["copied"] == 50
    assert row["phases"] == ["map", [["check", 1.5]]]
    assert row["figures"] == ["map", [["total_ms", 2.5]]]
    assert t1("newest", world.interface) == "2 active 198.18.1.100"


@pytest.fixture(name="proxy")
def fixture_proxy(store):
    proxy = Proxy(store)
    yield proxy
    proxy.close()


# The time to connect again grows with each connection that is lost.
@pytest.mark.parametrize("fault,commands", [
    ("do_twice", "register claim bind instance detect events"),
    ("lose_answer", "detect events")])
def test_done_without_an_answer(store, world, proxy, fault, commands):
    """A write that the store did, and whose answer was lost, is done once."""
    t9 = Driver(proxy, "t9")
    arguments = {
        "register": ("t9", "tokyo", "10.0.0.9:1", "198.18.1.9"),
        "claim": (4, 3),
        "bind": (world.interface, 1, 7, "active", "198.18.1.100"),
        "instance": (world.vm, 1, 7, "running"),
        "detect": (world.network, "52:54:00:aa:00:01", "10.255.0.77"),
        "events": (1,),
    }
    try:
        t9("changes", 100)
        for name, args in arguments.items():
            if name in commands:
                getattr(proxy, fault)()
            assert t9(name, *args).endswith("done"), name
            assert proxy.fault is None
            if name == "register":
                host, = store.rows("Host", ["name", "==", "t9"])
                store.update("VM", world.vm, host=host["_uuid"])
                t9("watch", world.network)
        for table, n in [("Host", 3), ("Claim", 3), ("Binding", 1),
                         ("Instance", 1), ("Endpoint", 1), ("Event", 1)]:
            assert len(store.rows(table)) == n, table
    finally:
        t9.close()


def test_asked_for_when_the_store_dies(store, world, t1):
    """What the replica lacks is not taken for there, after a condition was on its way."""
    other, nic, _ = add_far(store, world)
    t1("changes", 100)
    store.pause()
    assert t1("ask", other) == "not ready"
    store.kill()
    assert t1("ask", other) == "not ready"
    store.start()
    assert t1("ready") == "ready"
    assert t1("newest", nic) == "1 active 198.18.2.100"


def test_restored(store, world, t1, tmp_path):
    """A store with a shorter history is accepted, and says where nothing is."""
    backup = tmp_path / "backup"
    t1("bind", world.interface, 1, 1, "active", "198.18.1.100")
    with open(backup, "wb") as file:
        subprocess.run(["ovsdb-client", "backup", store.remote, "Watari"], check=True,
                       stdout=file)
    for counter in range(2, 30):
        store.update("VM", world.vm, generation=counter)
    t1("changes", 100)
    store.stop()
    store.db.rename(tmp_path / "old.db")
    subprocess.run([storekit.BUILD / "watari", "store", "restore", backup, store.db,
                    f"unix:{tmp_path}/raft.sock"], check=True)
    store.start()
    wait_for(lambda: t1("changes", 100) and not t1("list").endswith("epoch:1"),
             what="the restored store")
    vm = store.row("VM", world.vm)
    assert (vm["generation"], vm["host"], vm["power"]) == (1, ["set", []], "running")
    assert not store.rows("Binding")


def test_register(store, world):
    """A host makes its own row, at a site that exists, and updates it."""
    driver = Driver(store, "t9")
    try:
        assert "no site" in driver("register", "t9", "kyoto", "10.0.0.9:1")
        assert driver("register", "t9", "tokyo", "10.0.0.9:1",
                      "198.18.1.9") == "done"
        assert driver("ready") == "ready"
        row, = store.rows("Host", ["name", "==", "t9"])
        assert row["channel"] == "10.0.0.9:1" and row["memory_mib"] == 4096
        assert row["facts"] == ["map", [["qemu", "7.2"]]]
        assert driver("register", "t9", "-", "10.0.0.9:2") == "done"
        row, = store.rows("Host", ["name", "==", "t9"])
        assert row["channel"] == "10.0.0.9:2"
        assert row["addresses"] == "198.18.1.9"
    finally:
        driver.close()


def test_detected_endpoints(store, world, drivers):
    """Two hosts that detect one MAC: one makes the endpoint."""
    mac = "52:54:00:aa:00:01"
    for driver in drivers:
        driver.send("detect", world.network, mac, "10.255.0.77")
    answers = [driver.answer() for driver in drivers]
    assert sorted(a.split()[0] for a in answers) == ["done", "refused"]
    endpoint, = store.rows("Endpoint")
    assert endpoint["kind"] == "detected"
    assert endpoint["name"] == "net1-525400aa0001"

    t1 = drivers[0]
    t1("changes", 100)
    assert t1("has", endpoint["interfaces"][1]) == "yes"
    assert t1("has", world.interface) == "no"       # A VM's.
    store.update("Endpoint", endpoint["_uuid"][1],
                 host=ref(world.hosts["o1"]))
    t1("changes", 100)
    assert t1("has", endpoint["interfaces"][1]) == "no"


def test_second_family(store, world, t1):
    """A detected endpoint gets a second address; nobody else does, and not a third."""
    assert t1("detect", world.network, "52:54:00:aa:00:01", "10.255.0.77") == "done"
    t1("changes", 100)
    endpoint, = store.rows("Endpoint")
    interface = endpoint["interfaces"][1]
    for _ in range(2):
        assert t1("address", interface, "10.255.0.77", "fd00:255::77") == "done"
        row = store.row("Interface", interface)
        assert row["home"] == row["inside"] == ["set", ["10.255.0.77", "fd00:255::77"]]
    assert t1("address", interface, "fd00:255::78").startswith("refused")
    assert t1("address", world.interface, "fd00:255::77").startswith("refused")   # A VM's.
    store.update("Endpoint", endpoint["_uuid"][1], kind="declared")
    t1("changes", 100)
    assert t1("address", interface, "fd00:255::77").startswith("refused")


def test_own_bindings(world, t1):
    """A host lists its active bindings, and no others."""
    assert t1("own") == "0:"
    assert t1("bind", world.interface, 1, 1, "active", "198.18.1.100") == "done"
    assert t1("bind", world.interface, 1, 2, "prepared", "198.18.1.101") == "done"
    assert t1("own") == "1: 1"


def test_instances(store, world, t1):
    assert t1("instance", world.vm, 1, 1, "running") == "done"
    assert t1("instance", world.vm, 1, 1, "failed") == "done"
    row, = store.rows("Instance")
    assert row["state"] == "failed" and row["counter"] == 1
    store.update("Instance", row["_uuid"][1], since=5)
    assert t1("instance", world.vm, 1, 1, "failed") == "done"
    assert store.rows("Instance")[0]["since"] == 5      # It has been so since then.
    with pytest.raises(ValueError):     # Not while there is an instance.
        store.delete("VM", world.vm)


def test_events_are_bounded(store, world, t1):
    answer = t1("events", 200)
    dropped = int(answer.split()[0])
    assert 140 <= dropped <= 150 and answer.endswith("dropped done")
    assert len(store.rows("Event")) == 200 - dropped


def test_bad_rows_are_sentences(store, world, t1):
    store.update("Interface", world.interface, mac="nonsense")
    t1("changes", 100)
    answer = t1("vm", world.vm)
    assert answer.startswith('refused VM "web1": interface')
    assert "not a MAC address" in answer
    store.update("Interface", world.interface, mac="52:54:00:00:00:11",
                 home="10.255.0.300")
    t1("changes", 100)
    assert "10.255.0.300" in t1("vm", world.vm)
    store.update("Network", world.network, prefixes="10.255.0.1/24")
    store.update("Interface", world.interface, home="10.255.0.30")
    t1("changes", 100)
    assert "refused" in t1("vm", world.vm)
    store.update("VM", world.vm, name="x" * 70)
    t1("changes", 100)
    assert "between 1 and 63" in t1("vm", world.vm)
