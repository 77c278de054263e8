"""Whole systems: a lab with VMs, from the command line."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, ROOT, RUN, Watari, build_has, leftovers, needs_root
from labkit import reach

pytestmark = pytest.mark.skipif(
    not build_has("watari-agent", "watari-manager", "watari-probe", "mini"),
    reason="not everything is built")

SMALL = """
sites:
  north: { wan: 198.18.1.0/24, wan6: "2001:db8:1::/64", pool: 198.18.1.100-198.18.1.199,
           pool6: "2001:db8:1::100-2001:db8:1::1ff", hosts: [a1, a2] }
  south: { wan: 198.18.2.0/24, wan6: "2001:db8:2::/64", pool: 198.18.2.100-198.18.2.199,
           pool6: "2001:db8:2::100-2001:db8:2::1ff", hosts: [b1] }
links: { north: { delay: 2ms }, south: { delay: 2ms } }
networks:
  blue: { prefix: 10.255.0.0/24, prefix6: "fd00:255::/64", gateway: 10.255.0.254 }
vms:
  web1: { host: a1, network: blue, address: 10.255.0.11, address6: "fd00:255::11", memory: 128M }
endpoints:
  alice: { host: b1, network: blue, address: 10.255.0.21, address6: "fd00:255::21" }
store: { site: south }
manager: { site: south }
"""


def test_life(make_lab):
    """Up, talk, move, stop, start, restart parts, move again, down."""
    lab = make_lab("test-life", SMALL)
    vm = lab.json("vm", "list")[0]
    assert (vm["name"], vm["host"], vm["state"]) == ("web1", "a1", "running")
    for address in "10.255.0.11", "fd00:255::11":
        reach(lab, "alice", address)

    move = lab.json("vm", "migrate", "web1", "--to", "south", "--wait")
    assert (move["result"], move["from"], move["to"]) == ("completed", "a1", "b1")
    assert [phase["name"] for phase in move["phases"]][0] == "check"
    assert lab.json("vm", "show", "web1")["host"] == "b1"
    reach(lab, "alice", "10.255.0.11")

    # To where it is already, and to nowhere.
    assert lab.run("vm", "migrate", "web1", "--to", "b1").returncode == 1
    result = lab.run("vm", "migrate", "web1", "--to", "nowhere")
    assert result.returncode == 1 and "nowhere" in result.stderr

    # Everything but QEMU may be started again.
    for node, part in ("manager", "manager"), ("store", "store"), ("b1", "agent"), ("a2", "agent"):
        lab("lab", "restart", node, part)
    reach(lab, "alice", "10.255.0.11")
    for _ in range(50):         # Until the manager has found the store.
        if lab.run("vm", "list").returncode == 0:
            break
        time.sleep(0.1)
    move = lab.json("vm", "migrate", "web1", "--to", "a2")
    assert move["result"] == "completed"
    reach(lab, "alice", "10.255.0.11")

    lab("vm", "stop", "web1")
    assert lab.json("vm", "show", "web1")["state"] == "stopped"
    lab("vm", "start", "web1")
    reach(lab, "alice", "10.255.0.11")
    assert len(lab.json("migration", "list")) >= 2

    lab("lab", "down", "test-life")
    assert leftovers("test-life") == []


def test_token(make_lab):
    """Over TCP the interface asks for the token that only root can read."""
    lab = make_lab("test-token", SMALL.replace("vms:", "x-vms:").split("x-vms:")[0])
    state = json.loads((RUN / "test-token/state.json").read_text())
    token = RUN / "test-token/token"
    assert token.stat().st_mode & 0o777 == 0o600
    env = {"WATARI": f"http://{state['listen']}", "WATARI_TOKEN": token.read_text()}
    assert len(json.loads(Watari()("host", "list", "-o", "json", env=env))) == 3
    result = Watari().run("host", "list", env={**env, "WATARI_TOKEN": "wrong"})
    assert result.returncode == 1
    assert lab.json("site", "list")


def test_down_after_killing_everything(make_lab):
    """Also QEMU, which no agent cleans up after."""
    lab = make_lab("test-kill", SMALL)
    for row in lab.json("lab", "status"):
        if row["lab"] == "test-kill":
            os.kill(row["pid"], signal.SIGKILL)
    lab("lab", "down", "test-kill")
    assert leftovers("test-kill") == []


@pytest.mark.parametrize("after", [0.4, 0.7, 1.0, 1.5, 2.5])
def test_down_after_killed_up(tmp_path, after):
    """"lab up" may die while programs start."""
    needs_root()
    path = tmp_path / "lab.yaml"
    path.write_text(f"lab: test-cut\n{SMALL}")
    with subprocess.Popen([Watari().program, "lab", "up", path], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as up:
        time.sleep(after)
        up.kill()
    Watari()("lab", "down", "test-cut")
    assert leftovers("test-cut") == []


def test_up_fails(tmp_path):
    """A VM that cannot run: said, and nothing is left."""
    needs_root()
    path = tmp_path / "lab.yaml"
    path.write_text("lab: test-fail\n" + SMALL.replace(
        "memory: 128M", "memory: 128M, image: /no/such/image"))
    result = Watari().run("lab", "up", path)
    assert result.returncode == 1
    assert "web1" in result.stderr and "/no/such/image" in result.stderr
    assert leftovers("test-fail") == []


def test_demo(tmp_path):
    """The crossing that "make demo" shows."""
    needs_root()
    path = tmp_path / "demo.yaml"
    path.write_text((ROOT / "examples/two-sites.yaml").read_text().replace(
        "lab: two-sites", "lab: test-demo"))
    try:
        result = subprocess.run([sys.executable, ROOT / "tools/demo", BUILD, path], text=True,
                                capture_output=True, timeout=300, check=False)
    finally:
        Watari().run("lab", "down", "test-demo")
    last = result.stdout.splitlines()[-1]
    match = re.fullmatch(r"demo: web1 tokyo/t1 -> osaka/o1: (\d+) of (\d+) probes lost, "
                         r"longest gap \d+ ms, VM stopped [\d.]+ ms", last)
    assert match, result.stdout + result.stderr
    assert result.returncode == 0
    assert int(match[2]) > 5000
    assert int(match[1]) == 0
    assert leftovers("test-demo") == []
