"""Labs: their files, their networks, and that nothing is left of them."""
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import pytest

from conftest import ROOT, RUN, Watari, leftovers, needs_root

TWO_SITES = """
sites:
  north: { wan: 198.18.1.0/24, wan6: "2001:db8:1::/64", pool: 198.18.1.100-198.18.1.199,
           hosts: [a1, a2] }
  south: { wan: 198.18.2.0/24, wan6: "2001:db8:2::/64", hosts: [b1] }
links:
  north: { delay: 7ms }
networks:
  blue: { prefix: 10.255.0.0/24, prefix6: "fd00:255::/64", gateway: 10.255.0.254, gateways: [a2] }
endpoints:
  alice: { host: b1, network: blue, address: 10.255.0.21, address6: "fd00:255::21" }
outside:
  bob: { address: 203.0.113.10/24, address6: "2001:db8:ff::10/64" }
"""


def round_trip(lab, node, address):
    """Median round trip in ms of a few ICMP echos, without the first, which resolves."""
    times = [float(line) for line in lab.python(node, "icmp_echo.py", address, 6).split()]
    assert len(times) >= 5
    return statistics.median(times[1:])


@pytest.fixture
def two_sites(make_lab):
    return make_lab("test-net", TWO_SITES, "--only-network")


def test_delay(two_sites):
    for address in "198.18.2.1", "2001:db8:2::1", "203.0.113.10", "198.19.2.2":
        assert 13.5 <= round_trip(two_sites, "north-router", address) <= 25
    # A link without emulation is just a link.
    assert round_trip(two_sites, "south-router", "203.0.113.10") < 5
    # The second interface of hosts is behind the same link.
    assert 13.5 <= round_trip(two_sites, "a1", "198.19.2.2") <= 25


@pytest.mark.parametrize("own,other,remote,router", [
    ("198.18.1.77", "192.0.2.1", "203.0.113.10", "198.18.1.1"),
    ("2001:db8:1::77", "2001:db8:77::1", "2001:db8:ff::10", "2001:db8:1::1")])
def test_reverse_path(two_sites, own, other, remote, router):
    """A site's router drops what comes with a source of somewhere else."""
    def run(node, *command):
        return two_sites("lab", "exec", node, "--", *command)

    def sent(source):
        """How many of 20 datagrams from 'source' the router sends on."""
        def count():
            link = json.loads(run("north-router", "ip", "-s", "-j", "link", "show", "core"))
            return link[0]["stats64"]["tx"]["packets"]

        before = count()
        two_sites.python("a1", "udp_send.py", source, remote, 20)
        time.sleep(0.3)         # The next router is resolved over the link.
        return count() - before

    # The host's kernel plays the switch's part.
    run("a1", "sysctl", "-qw", "net.ipv6.conf.wan.disable_ipv6=0",
        "net.ipv6.conf.wan.accept_dad=0")
    mac = json.loads(run("north-router", "ip", "-j", "link", "show", "wan"))[0]["address"]
    for address in own, other:
        run("a1", "ip", "addr", "add", f"{address}/{128 if ':' in own else 32}", "dev", "wan")
    run("a1", "ip", "neigh", "replace", router, "lladdr", mac, "dev", "wan")
    run("a1", "ip", "route", "add", remote, "via", router, "dev", "wan", "onlink")
    assert sent(own) >= 20
    assert sent(other) <= 5                 # Neighbour discovery, perhaps.


def test_switches(two_sites):
    """Each host has a bridge with its uplink, which forwards nothing by itself."""
    for host in "a1", "a2", "b1":
        db = f"--db=unix:{RUN}/test-net/{host}/db.sock"
        show = two_sites("lab", "exec", host, "--", "ovs-vsctl", db, "list-ports", "br0")
        assert show.split() == ["wan"]
        mode = two_sites("lab", "exec", host, "--", "ovs-vsctl", db, "get", "bridge", "br0",
                         "fail_mode", "datapath_type")
        assert mode.split() == ["secure", "netdev"]


def test_exec(two_sites):
    """The command replaces us: its exit status and signals are its own."""
    assert two_sites.run("lab", "exec", "alice", "--", "sh", "-c", "exit 37").returncode == 37
    result = two_sites.run("lab", "exec", "alice", "--", "sh", "-c", "kill -9 $$")
    assert result.returncode == -signal.SIGKILL
    assert "eth0" in two_sites("lab", "exec", "alice", "--", "ls", "/sys/class/net")
    result = two_sites.run("lab", "exec", "nobody", "--", "true")
    assert result.returncode == 1 and "alice" in result.stderr
    result = two_sites.run("lab", "exec", "alice", "--", "no-such-command")
    assert result.returncode == 1 and "no-such-command" in result.stderr


def test_restart(two_sites):
    def pid():
        return [row["pid"] for row in two_sites.json("lab", "status")
                if row["node"] == "a1" and row["part"] == "switch"]

    before = pid()
    two_sites("lab", "restart", "a1", "switch")
    assert pid() != before
    result = two_sites.run("lab", "restart", "a1", "nothing")
    assert result.returncode == 1 and "switch-db" in result.stderr


def sysctl():
    return pathlib.Path("/proc/sys/net/core/rmem_default").read_text()


def test_down_leaves_nothing(make_lab):
    others = os.listdir(RUN) if RUN.exists() else []
    before = sysctl()
    make_lab("test-gone", TWO_SITES, "--only-network")
    assert leftovers("test-gone")
    Watari()("lab", "down", "test-gone")
    assert leftovers("test-gone") == []
    if not others:
        assert sysctl() == before
        assert not RUN.exists()


def test_down_after_killing_everything(make_lab):
    lab = make_lab("test-killed", TWO_SITES, "--only-network")
    pids = [row["pid"] for row in lab.json("lab", "status") if row["lab"] == "test-killed"]
    assert len(pids) == 7
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    lab("lab", "down", "test-killed")
    assert leftovers("test-killed") == []


@pytest.mark.parametrize("after", [0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4])
def test_down_after_killed_up(tmp_path, after):
    """"lab up" may die at any time."""
    needs_root()
    path = tmp_path / "lab.yaml"
    path.write_text(f"lab: test-cut\n{TWO_SITES}")
    up = subprocess.Popen([Watari().program, "lab", "up", path, "--only-network"],
                          stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(after)
    up.kill()
    up.wait()
    if (RUN / "test-cut").exists():
        Watari()("lab", "down", "test-cut")
    assert leftovers("test-cut") == []


def test_interrupt(tmp_path):
    """After ^C, "lab up" takes down what it has made."""
    needs_root()
    path = tmp_path / "lab.yaml"
    path.write_text(f"lab: test-int\n{TWO_SITES}")
    up = subprocess.Popen([Watari().program, "lab", "up", path, "--only-network"],
                          stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(0.15)
    up.send_signal(signal.SIGINT)
    error = up.communicate()[1]
    if up.returncode:
        assert "interrupted" in error
        assert leftovers("test-int") == []
    Watari().run("lab", "down", "test-int")


def test_twice(two_sites, tmp_path):
    path = tmp_path / "again.yaml"
    path.write_text(f"lab: test-net\n{TWO_SITES}")
    before = two_sites.json("lab", "status")
    result = Watari().run("lab", "up", path, "--only-network")
    assert result.returncode == 1
    assert "up already" in result.stderr
    assert two_sites.json("lab", "status") == before


def test_two_labs(make_lab):
    """Labs with the same addresses do not meet."""
    one = make_lab("test-one", TWO_SITES, "--only-network")
    two = make_lab("test-two", TWO_SITES, "--only-network")
    assert round_trip(one, "south-router", "203.0.113.10") < 5
    one("lab", "down", "test-one")
    assert round_trip(two, "south-router", "203.0.113.10") < 5
    labs = [path for path in RUN.iterdir() if path.is_dir()]
    result = Watari().run("lab", "exec", "a1", "--", "true")
    if len(labs) == 1:
        assert result.returncode == 0
    else:
        assert result.returncode == 1 and "--lab NAME" in result.stderr


# Lab files that must be refused: what to replace, by what, the expected complaint.
BAD = [
    ("hosts: [a1, a2]", "hosts: [a1, b1]", 'a host "b1": a host has this name already'),
    ("hosts: [b1]", "hosts: [north]", '"north": a site has this name already'),
    ("198.18.1.100-198.18.1.199", "198.18.1.3-198.18.1.9",
     "pool contains 198.18.1.3, which is the address of its host a2"),
    ("198.18.1.100-198.18.1.199", "198.18.3.100-198.18.3.199", "pool is not inside its wan"),
    ("198.18.1.100-198.18.1.199", "198.18.1.100", "pool"),
    ("198.18.2.0/24", "198.18.1.128/25", '"north" and "south" overlap'),
    ("198.18.2.0/24", "198.19.2.0/24", "198.19.0.0/16 is what labs use"),
    ("198.18.2.0/24", "198.18.2.1/24", "wan"),
    ("wan: 198.18.2.0/24", "wan: 198.18.2.0/31", "too small"),
    ("delay: 7ms", "delay: 7", "a duration such as 5ms"),
    ("delay: 7ms", "delya: 7ms", 'did you mean "delay"?'),
    ("delay: 7ms", "delay: 7ms, jitter: 8ms", "jitter is more than delay"),
    ("delay: 7ms", "loss: 101%", "too much"),
    ("north: { delay", "norht: { delay", 'link "norht": there is no such site'),
    ("gateway: 10.255.0.254", "gateway: 10.254.0.254", "gateway is not inside its prefix"),
    ("gateways: [a2]", "gateways: [a3]", 'gateway "a3" is not a host'),
    ("gateways: [a2]", "gateways: a2", "expected a list"),
    ("gateways: [a2]", "mode: fast", "rewrite, overlay, anchor, readdress"),
    ("gateways: [a2]", "encap: vxlan", "encap is only for mode overlay"),
    ("gateways: [a2]", "mode: overlay, encap: mpls", "encap is not gre, vxlan or geneve"),
    ("10.255.0.0/24", "198.18.1.0/25", 'overlaps with the network of site "north"'),
    ("10.255.0.21", "10.254.0.21", 'is not inside network "blue"'),
    ("10.255.0.21", "10.255.0.254", "or of its gateway"),
    ("10.255.0.21", "10.255.0.255", "is the address of network"),
    ("10.255.0.21", "10.255.0.999", "address"),
    ("host: b1", "host: b2", 'there is no host "b2"'),
    ("network: blue", "network: red", 'there is no network "red"'),
    ("host: b1, ", "", 'an endpoint lacks "host"'),
    ("alice:", "core:", '"core": a part of every lab has this name already'),
    ("alice:", "a/b:", "cannot be a name"),
    ("bob:", "alice:", '"alice": an endpoint has this name already'),
    ("203.0.113.10/24", "203.0.113.10", "ADDRESS/LENGTH"),
    ("203.0.113.10/24", "198.18.2.200/24", 'overlaps with the network of site "south"'),
    ("sites:", "site:", 'did you mean "sites"?'),
    ("endpoints:", "store: { site: east }\nendpoints:", 'there is no site "east"'),
    ("endpoints:", "store: { sites: [core, east] }\nendpoints:", 'there is no site "east"'),
    ("endpoints:", "store: { sites: [north], nodes: 3 }\nendpoints:", "neither site nor nodes"),
    ("endpoints:", "store: { nodes: 6 }\nendpoints:", "nodes"),
    ("endpoints:", "store: { nodes: 2 }\nendpoints:\n  store2: { host: a1, network: blue }",
     '"store2": a server of the store has this name already'),
    ("endpoints:", "vms: { w: { host: a1, network: blue, address: 10.255.0.21 } }\nendpoints:",
     'is the address of "w" already'),
    ("endpoints:", "vms: { w: { host: a1, network: blue, memory: 1M } }\nendpoints:", "memory"),
]


@pytest.mark.parametrize("old,new,complaint", BAD)
def test_bad_file(tmp_path, old, new, complaint):
    """Refused with file and line, before anything is changed."""
    assert old in TWO_SITES
    path = tmp_path / "bad.yaml"
    path.write_text(f"lab: test-bad\n{TWO_SITES.replace(old, new, 1)}")
    result = Watari().run("lab", "up", path, "--only-network")
    assert result.returncode == 1
    assert complaint in result.stderr
    assert re.search(rf"^{path}(:\d+:\d+)?: ", result.stderr, re.M)
    assert result.stdout == ""
    assert not (RUN / "test-bad").exists()


@pytest.mark.parametrize("name", ["agent", "manager", "store"])
def test_reserved_name(tmp_path, name):
    """A lab's folder is not that of a part of a real machine."""
    path = tmp_path / "bad.yaml"
    path.write_text(f"lab: {name}\n{TWO_SITES}")
    result = Watari().run("lab", "up", path, "--only-network")
    assert result.returncode == 1 and "cannot be a lab's name" in result.stderr


def test_all_problems_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    text = TWO_SITES.replace("host: b1", "host: b2").replace("gateways: [a2]", "gateways: [a3]")
    path.write_text(f"lab: test-bad\n{text}")
    result = Watari().run("lab", "up", path)
    assert "b2" in result.stderr and "a3" in result.stderr


def test_no_such_file():
    result = Watari().run("lab", "up", "/no/such/file.yaml")
    assert result.returncode == 1
    assert "/no/such/file.yaml: No such file" in result.stderr


def test_example_is_good(tmp_path):
    """The example is a lab file without problems, also for "apply"."""
    text = (ROOT / "examples/two-sites.yaml").read_text()
    path = tmp_path / "apply.yaml"
    path.write_text(text)
    result = Watari().run("apply", path, env={"WATARI": "unix:/nonexistent"})
    assert "does not answer" in result.stderr
