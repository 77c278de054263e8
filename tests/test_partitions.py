"""Hosts, store and manager that do not see each other, or see an older store."""
import subprocess
import time

import pytest

from conftest import RUN, build_has
from labkit import (answering, flows, lossless, only_copy, part, store_rows)
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
"""
WEB1 = "10.255.0.11"
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


def test_restored_store(lab, tmp_path, watari):
    """An older store learns where guests are, and nobody believes what it says."""
    folder = RUN / lab.lab / "store"
    backup = tmp_path / "backup"
    with open(backup, "wb") as file:
        subprocess.run(["ovsdb-client", "backup", f"unix:{folder}/db.sock", "Watari"],
                       stdout=file, check=True)
    old = bindings(lab)
    move(lab, "b1")
    new = bindings(lab)
    assert old[WEB1][1] == "a1" and new[WEB1][1] == "b1"

    with lossless(lab, *TALKS):
        subprocess.run(["kill", "-KILL", str(part(lab, "store", "store"))], check=True)
        (folder / "store.db").rename(tmp_path / "store.db")
        watari("store", "restore", backup, folder / "store.db", f"unix:{folder}/raft.sock")
        lab("lab", "restart", "store", "store")
        answering(lab)
        wait_for(lambda: len(bindings(lab)) == 3, 20, "new bindings")
        assert place(lab, "web1") == ("b1", "running")
        assert only_copy(lab, "web1") == "b1"
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
