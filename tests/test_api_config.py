"""PUT /config: what is applied, what is refused and how that is said."""

import json
import time

import pytest

from apikit import (CONFIG, TABLES, Manager, changed, fixture_agent, fixture_applied,
                    fixture_manager, fixture_running, fixture_store)
from storekit import Store, ref


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


def test_many_vms(tmp_path):
    """Each VM is compared with all others in one pass, also where none is in the document."""
    def document(kind, number):
        return {"sites": {"s": {"wan": "198.18.0.0/16", "hosts": ["h1"]}},
                "networks": {"blue": {"prefix": "10.0.0.0/8"}},
                "vms": {f"{kind}{i}": {"host": "h1", "network": "blue", "image": "mini",
                                       "mac": f"52:54:{number:02x}:00:{i >> 8:02x}:{i & 255:02x}",
                                       "address": f"10.{number}.{i >> 8}.{i & 255}"}
                        for i in range(1, 1001)}}

    store = Store(tmp_path)
    manager = Manager(store)
    try:
        for wanted in document("a", 1), document("b", 2):
            begin = time.monotonic()
            for _ in range(2):
                assert manager.call("PUT", "/config", wanted)[0] == 200
            assert time.monotonic() - begin < 5         # It took half a minute.
        wanted["vms"]["b1000"]["address"] = "10.1.3.232"
        status, problem = manager.call("PUT", "/config", wanted)
        assert status == 422 and "10.1.3.232 is a1000's" in str(problem["errors"])
    finally:
        manager.stop()
        store.stop()
