"""Hosts, store and manager that do not see each other, or see an older store."""
import contextlib
import subprocess
import time

import pytest

from conftest import RUN, build_has
from labkit import (answering, begin_copy, end_of, flows, lossless, monitors, only_copy, part,
                    run_inside, store_rows)
from storekit import wait_for

pytestmark = pytest.mark.skipif(
    not build_has("watari-agent", "watari-manager", "watari-probe", "mini"),
    reason="not everything is built")

SITES = """
sites:
  north: { wan: 198.18.1.0/24, pool: 198.18.1.100-198.18.1.199, hosts: [a1] }
  south: { wan: 198.18.2.0/24, pool: 198.18.2.100-198.18.2.199, hosts: [b1] }
  west: { wan: 198.18.3.0/24, pool: 198.18.3.100-198.18.3.199, hosts: [c1] }
networks:
  blue: { prefix: 10.255.0.0/24, gateway: 10.255.0.254 }
vms:
  web1: { host: a1, network: blue, address: 10.255.0.11, memory: 128M }
endpoints:
  anna: { host: a1, network: blue, address: 10.255.0.21 }
  cleo: { host: c1, network: blue, address: 10.255.0.23 }
manager: { site: west }
"""
WEB1 = "10.255.0.11"
ADDRESSES = {"a1": "198.19.1.2", "b1": "198.19.2.2", "c1": "198.19.3.2",
             "store": "198.19.0.250", "manager": "198.19.3.251"}
ROUTERS = {"a1": "north-router", "b1": "south-router", "c1": "west-router",
           "manager": "west-router"}
TALKS = [("anna", WEB1, 2000), ("cleo", WEB1, 1000)]
FAST = "--bandwidth", "400mbit"


@pytest.fixture(scope="module", name="lab")
def fixture_lab(make_module_lab):
    return make_module_lab("test-part", SITES)


def bindings(lab):
    """What packets follow, by home address: (epoch, counter), host, mobile address."""
    hosts = {row["_uuid"][1]: row["name"] for row in store_rows(lab, "Host")}
    homes = {row["_uuid"][1]: row["home"] for row in store_rows(lab, "Interface")}
    newest = {}
    for row in store_rows(lab, "Binding"):
        home = homes[row["interface"][1]]
        found = (row["epoch"], row["counter"]), hosts[row["host"][1]], row["mobile"]
        if row["state"] == "active" and (home not in newest or found > newest[home]):
            newest[home] = found
    return newest


def place(lab, vm):
    row = lab.json("vm", "show", vm)
    return row["host"], row["state"]


def move(lab, to):
    result = lab.json("vm", "migrate", "web1", "--to", to, *FAST)
    assert result["result"] == "completed", result


@contextlib.contextmanager
def cut(lab, *pairs):
    """While the body runs, the two of each pair do not hear each other."""
    rules = [(ROUTERS[a], ADDRESSES[x], ADDRESSES[y]) for a, b in pairs
             for x, y in ((a, b), (b, a))]

    def change(verb):
        for router, x, y in rules:
            run_inside(lab, router, "ip", "rule", verb, "priority", 100,
                       "from", x, "to", y, "blackhole")
    change("add")
    try:
        yield
    finally:
        change("delete")


def check_place(lab):
    """One copy runs, and everybody says where."""
    host = only_copy(lab, "web1")
    wait_for(lambda: place(lab, "web1") == (host, "running"), 20, "the manager's word")
    wait_for(lambda: bindings(lab)[WEB1][1] == host, 20, "the binding")
    ours = [row for row in store_rows(lab, "Binding")
            if row["mobile"] == bindings(lab)[WEB1][2]]
    assert len(ours) == 1
    return host


def test_cut_off(lab):
    """A move in its copy ends without the store, and well if the hosts are cut apart."""
    answering(lab)
    with lossless(lab, *TALKS):
        start = only_copy(lab, "web1")
        there = "a1" if start == "b1" else "b1"
        uuid = begin_copy(lab, "web1", there, "--bandwidth", "300mbit")
        with cut(lab, ("a1", "store"), ("b1", "store"), ("c1", "store"), ("manager", "store")):
            wait_for(lambda: any(monitor.host == there and monitor.status() == "running"
                                 for monitor in monitors(lab, "web1")), 20, "the VM")
            time.sleep(0.5)
        assert end_of(lab, uuid)["state"] == "completed"
        assert check_place(lab) == there

        uuid = begin_copy(lab, "web1", start, "--bandwidth", "300mbit")
        with cut(lab, ("a1", "b1"), ("a1", "manager"), ("b1", "manager")):
            time.sleep(2)
        state = end_of(lab, uuid)["state"]
        assert state in ("completed", "rolled-back")
        assert check_place(lab) == (start if state == "completed" else there)


def test_restored_store(lab, tmp_path, watari):
    """An older store learns where guests are, and nobody believes what it says."""
    folder = RUN / lab.lab / "store"
    backup = tmp_path / "backup"
    with open(backup, "wb") as file:
        subprocess.run(["ovsdb-client", "backup", f"unix:{folder}/db.sock", "Watari"],
                       stdout=file, check=True)
    old = bindings(lab)
    there = "a1" if old[WEB1][1] == "b1" else "b1"
    move(lab, there)
    new = bindings(lab)
    assert new[WEB1][1] == there

    with lossless(lab, *TALKS):
        subprocess.run(["kill", "-KILL", str(part(lab, "store", "store"))], check=True)
        (folder / "store.db").rename(tmp_path / "store.db")
        watari("store", "restore", backup, folder / "store.db", f"unix:{folder}/raft.sock")
        lab("lab", "restart", "store", "store")
        wait_for(lambda: subprocess.run(
            ["ovsdb-client", "-t1", "get-schema-version", f"unix:{folder}/db.sock", "Watari"],
            capture_output=True, check=False).returncode == 0, 10, "the store")
        answering(lab)
        wait_for(lambda: len(bindings(lab)) == 3, 20, "new bindings")
        assert place(lab, "web1") == (there, "running")
        assert only_copy(lab, "web1") == there
        time.sleep(1)
    now = bindings(lab)
    for name, (generation, host, mobile) in now.items():
        assert (host, mobile) == new[name][1:], name
        assert generation > new[name][0] and generation[0] > 1, name
    assert not [flow for flow in flows(lab, "c1") if old[WEB1][2] in flow.split("actions=")[1]]
    claims = {row["address"]: row["state"] for row in store_rows(lab, "Claim")}
    assert all(claims[mobile] == "used" for _, _, mobile in now.values())

    # A second time, from the same backup.
    refused = watari.run("store", "restore", backup, folder / "store.db", "unix:x")
    assert refused.returncode == 1 and "exists" in refused.stderr
