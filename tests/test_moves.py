"""Moves of running VMs, on real parts: what is lost is counted, times are not judged."""
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import frames
from conftest import ROOT, RUN, build_has
from labkit import (FINAL, Guest, Prober, answering, begin_copy, end_of, flows, inside,
                    link_address, lossless, migration, monitors, only_copy, part, reach,
                    run_inside, running, store_rows, stranger, type_at_console)
from storekit import wait_for

pytestmark = pytest.mark.skipif(
    not build_has("watari-agent", "watari-manager", "watari-probe", "mini"),
    reason="not everything is built")

# An endpoint beside web1, one where it goes, and one at a third site.  The
# only mobile address of the last site is its endpoint's.
SITES = """
sites:
  north: { wan: 198.18.1.0/24, wan6: "2001:db8:1::/64", pool: 198.18.1.100-198.18.1.199,
           pool6: "2001:db8:1::100-2001:db8:1::1ff", hosts: [a1] }
  south: { wan: 198.18.2.0/24, wan6: "2001:db8:2::/64", pool: 198.18.2.100-198.18.2.199,
           pool6: "2001:db8:2::100-2001:db8:2::1ff", hosts: [b1] }
  west: { wan: 198.18.3.0/24, wan6: "2001:db8:3::/64", pool: 198.18.3.100-198.18.3.199,
          pool6: "2001:db8:3::100-2001:db8:3::1ff", hosts: [c1] }
  east: { wan: 198.18.4.0/24, wan6: "2001:db8:4::/64", pool: 198.18.4.100-198.18.4.100,
          pool6: "2001:db8:4::100-2001:db8:4::100", hosts: [d1] }
links: { north: { delay: 2ms }, south: { delay: 2ms }, west: { delay: 2ms } }
networks:
  blue: { prefix: 10.255.0.0/24, prefix6: "fd00:255::/64", gateway: 10.255.0.254 }
vms:
  web1: { host: a1, network: blue, address: 10.255.0.11, address6: "fd00:255::11", memory: 128M }
  web2: { host: b1, network: blue, address: 10.255.0.12, address6: "fd00:255::12", memory: 128M }
endpoints:
  anna: { host: a1, network: blue, address: 10.255.0.21, address6: "fd00:255::21" }
  ben: { host: b1, network: blue, address: 10.255.0.22, address6: "fd00:255::22" }
  cleo: { host: c1, network: blue, address: 10.255.0.23, address6: "fd00:255::23" }
  dave: { host: d1, network: blue, address: 10.255.0.24, address6: "fd00:255::24" }
store: { site: west }
manager: { site: west }
"""
WEB1, WEB1_6 = "10.255.0.11", "fd00:255::11"
WEB2 = "10.255.0.12"
SLOW_COPY = "--bandwidth", "150mbit"    # About 6 s of memory.

# A guest without KVM cannot answer much more while it is copied.  Where it
# falls behind by more packets than its ring has places (1024), QEMU purges the
# rest when it stops; benchmarks find out how much is too much.
TALKS = [("anna", WEB1, 1000), ("ben", WEB1, 10000), ("cleo", WEB1_6, 1000)]


@pytest.fixture(scope="module")
def sites(make_module_lab):
    """One lab for all tests here that leave it as it was."""
    return make_module_lab("test-moves", SITES)


@pytest.fixture
def lab(sites):
    """The lab, with each VM where its file says."""
    for vm, host in ("web1", "a1"), ("web2", "b1"):
        if sites.json("vm", "show", vm)["host"] != host:
            sites("vm", "migrate", vm, "--to", host)
    return sites


def move(lab, vm, to):
    """At a bandwidth that leaves something of a busy machine to the guest."""
    result = lab.json("vm", "migrate", vm, "--to", to, "--bandwidth", "400mbit")
    assert result["result"] == "completed", result
    return result


def mobile(lab, home):
    """The mobile address, for IPv4, of the interface with a home address."""
    interface = next(row["_uuid"] for row in store_rows(lab, "Interface")
                     if home in str(row["home"]))
    binding = next(row for row in store_rows(lab, "Binding") if row["interface"] == interface)
    return re.search(r"198\.18[.0-9]+", str(binding["mobile"]))[0]


def check_late(lab, sender, target):
    """What cleo sends from 'sender' to 'target', as one who has not heard of a move: web1
    answers it."""
    nobody = "02:00:00:00:00:00"
    packets = [frames.udp(nobody, nobody, sender, target, text)[14:].hex()
               for text in (b"late", b"end")]
    with subprocess.Popen([*inside(lab, "cleo"), sys.executable, ROOT / "tests/udp_collect.py",
                           "1000"], text=True, stdout=subprocess.PIPE) as collector:
        try:
            assert collector.stdout.readline() == "ready\n"
            lab.python("west-router", "ip_send.py", target, *packets)
            assert collector.stdout.read().splitlines() == [f"{WEB1} late", f"{WEB1} end"]
        finally:
            collector.kill()


def test_restarts(lab):
    """Agents, the manager and the store come back, and no packet notices; nor do late ones,
    after a move, if the agent dies where it began."""
    before = {host: flows(lab, host) for host in ("a1", "b1", "c1")}
    with lossless(lab, *TALKS):
        for host in before:
            lab("lab", "restart", host, "agent")
        lab("lab", "restart", "manager", "manager")
        lab("lab", "restart", "store", "store")
        answering(lab)
        time.sleep(3)           # Whoever cleans up too early does it now.
    for host, old in before.items():
        new = flows(lab, host)
        assert len(old) > 20
        for flow, age in old.items():
            assert new.get(flow, -1) > age, f"{host}: {flow} is not what it was"

    cleo, old = mobile(lab, "10.255.0.23"), mobile(lab, WEB1)
    assert move(lab, "web1", "b1")
    assert mobile(lab, WEB1) != old
    check_late(lab, cleo, old)
    os.kill(part(lab, "a1", "agent"), signal.SIGKILL)
    lab("lab", "restart", "a1", "agent")
    time.sleep(1)               # Whoever cleans up too early does it now.
    check_late(lab, cleo, old)


def test_there_and_back(lab):
    """Three times there and back; nobody misses a packet, from wherever it talks."""
    with lossless(lab, *TALKS):
        for source, destination in [("a1", "b1"), ("b1", "a1")] * 3:
            result = move(lab, "web1", destination)
            assert (result["vm"], result["from"], result["to"], result["error"]) \
                == ("web1", source, destination, None)
            for figure in "total_ms", "blackout_ms", "blackout_error_ms", "bytes":
                assert result[figure] > 0, figure
            assert result["relayed_packets"] >= 0
            assert [phase["name"] for phase in result["phases"]] \
                == ["check", "reserve", "listen", "move", "announce", "release"]
            assert all(phase["ms"] >= 0 for phase in result["phases"])
            assert only_copy(lab, "web1") == destination


def report_when_done(guest):
    """What a guest's probe saw, once it has all answers or no more come."""
    def done():
        report = json.loads(guest("probe-report"))
        return report if report["done"] else None
    try:
        return wait_for(done, 10, "the guest's probe")
    except AssertionError:
        return json.loads(guest("probe-report"))


@pytest.mark.parametrize("moves", [{"web1": "b1"}, {"web1": "b1", "web2": "a1"}],
                         ids=["one", "both"])
def test_guests_that_talk(lab, moves):
    """Two VMs probe each other while one moves, or both at the same time."""
    guests = [Guest(lab, "cleo", WEB1), Guest(lab, "cleo", WEB2)]
    for guest, other in zip(guests, (WEB2, WEB1)):
        reach(lab, "cleo", guest.address)
        guest(f"probe {other} 7 2000 3000")
    time.sleep(0.5)
    uuids = [lab.json("vm", "migrate", vm, "--to", to, "--detach")["uuid"]
             for vm, to in moves.items()]
    for uuid in uuids:
        assert end_of(lab, uuid)["state"] == "completed"
    for vm, to in moves.items():
        assert only_copy(lab, vm) == to
    reports = [report_when_done(guest) for guest in guests]
    assert [(r["sent"], r["lost"], r["duplicated"]) for r in reports] == [(3000, 0, 0)] * 2


def test_cancel(lab):
    """A cancelled move is as if nothing had been: nothing lost, never paused."""
    with lossless(lab, *TALKS):
        uuid = begin_copy(lab, "web1", "b1", *SLOW_COPY)
        lab("migration", "cancel", uuid)
        end = end_of(lab, uuid)
        assert (end["state"], end.get("blackout_ms")) == ("rolled-back", None)
        assert "cancel" in end["error"]
        assert only_copy(lab, "web1") == "a1"
        move(lab, "web1", "b1")


def test_destination_dies(lab):
    """The destination's QEMU is killed in the copy: back to the source, nothing lost."""
    with lossless(lab, *TALKS):
        uuid = begin_copy(lab, "web1", "b1", *SLOW_COPY)
        there = next(m for m in monitors(lab, "web1") if m.host == "b1")
        os.kill(there.pid, signal.SIGKILL)
        end = end_of(lab, uuid)
        assert end["state"] == "rolled-back" and end["error"], end
        assert only_copy(lab, "web1") == "a1"
        move(lab, "web1", "b1")


@pytest.mark.parametrize("side", ["a1", "b1"], ids=["source", "destination"])
def test_agent_dies(lab, side):
    """An agent is killed in the copy and comes back: one copy runs, and can be moved."""
    with lossless(lab, *TALKS):
        uuid = begin_copy(lab, "web1", "b1", *SLOW_COPY)
        os.kill(part(lab, side, "agent"), signal.SIGKILL)
        time.sleep(0.5)
        lab("lab", "restart", side, "agent")
        end = end_of(lab, uuid)
        assert end["state"] in ("completed", "rolled-back"), end
        host = only_copy(lab, "web1")
        assert host == ("b1" if end["state"] == "completed" else "a1")
        wait_for(lambda: lab.json("vm", "show", "web1")["host"] == host, 10, "the store")
        move(lab, "web1", "a1" if host == "b1" else "b1")


def test_tcp(lab):
    """Two moves break neither a busy nor an idle connection."""
    reach(lab, "cleo", WEB1)
    probers = [Prober(lab, "cleo", "tcp-download", WEB1, "--rate", 1000000),
               Prober(lab, "cleo", "tcp-idle", WEB1_6, "--interval-ms", 50)]
    with running(*probers) as summaries:
        for host in "b1", "a1":
            move(lab, "web1", host)
    download, idle = summaries
    assert not download["broken"] and download["bytes"] > 1000000, download
    assert not idle["broken"] and idle["answered"] >= idle["sent"] - 1, idle


def test_stranger(lab):
    """Who first speaks on an open port becomes an endpoint, and can talk to a VM that moves.
    It misses nothing when the agent is killed, and its second family comes to its first."""
    def dora():
        return [(row["kind"], row["host"], row["address6"])
                for row in lab.json("endpoint", "list") if row["address"] == "10.255.0.31"]

    def kill_agent():
        os.kill(part(lab, "a1", "agent"), signal.SIGKILL)
        lab("lab", "restart", "a1", "agent")
        time.sleep(1)           # Whoever cleans up too early does it now.

    assert dora() == []
    with stranger(lab, "dora", "a1", "10.255.0.31/24"):
        with lossless(lab, ("dora", WEB1, 1000)):
            assert dora() == [("detected", "a1", None)]
            address = mobile(lab, "10.255.0.31")
            kill_agent()
            move(lab, "web1", "b1")
            run_inside(lab, "dora", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
            run_inside(lab, "dora", "ip", "addr", "add", "fd00:255::31/64", "dev", "eth0",
                       "nodad")
            reach(lab, "dora", WEB1_6)
            assert dora() == [("detected", "a1", "fd00:255::31")]
        with lossless(lab, ("dora", WEB1, 1000), ("dora", WEB1_6, 1000)):
            kill_agent()
        assert mobile(lab, "10.255.0.31") == address


def test_spoofing(lab):
    """What does not come from an endpoint's own addresses goes nowhere."""
    own, other = link_address(lab, "anna"), link_address(lab, "cleo")
    run_inside(lab, "anna", "ping", "-qc1", "10.255.0.22")
    ben = json.loads(run_inside(lab, "anna", "ip", "-j", "neigh", "show", "10.255.0.22"))
    there = ben[0]["lladdr"]
    spoofed = [frames.udp(mac, there, *addresses, b"spoofed")
               for mac, addresses in itertools.product(
                   (own, other), (("10.255.0.23", "10.255.0.22"), ("192.0.2.1", "10.255.0.22"),
                                  ("fd00:255::23", "fd00:255::22")))]
    spoofed.append(frames.udp(other, there, "10.255.0.21", "10.255.0.22", b"spoofed"))
    honest = [frames.udp(own, there, "10.255.0.21", "10.255.0.22", text)
              for text in (b"begin", b"end")]
    with subprocess.Popen([*inside(lab, "ben"), sys.executable, ROOT / "tests/udp_collect.py",
                           "7"], text=True, stdout=subprocess.PIPE) as collector:
        try:
            assert collector.stdout.readline() == "ready\n"
            lab.python("anna", "frame_send.py", "eth0",
                       *(frame.hex() for frame in (honest[0], *spoofed, honest[1])))
            got = collector.stdout.read().splitlines()
        finally:
            collector.kill()
    assert got == ["10.255.0.21 begin", "10.255.0.21 end"]


def test_vm_life(lab):
    """Create, stop, start, switch off from within, delete: nothing of it is left."""
    def in_store():
        return {table: sorted(str(row["_uuid"]) for row in store_rows(lab, table)
                              if table != "Claim" or row["state"] == "used")
                for table in ("VM", "Interface", "Instance", "Binding", "Claim")}

    before = in_store()
    try:
        lab("vm", "create", "web3", "--host", "c1", "--network", "blue", "--memory", "128M",
            "--address", "10.255.0.13", "--address6", "fd00:255::13")
        for address in "10.255.0.13", "fd00:255::13":
            reach(lab, "anna", address)
        result = lab.run("vm", "delete", "web3")
        assert result.returncode == 1 and "web3" in result.stderr

        lab("vm", "stop", "web3")
        assert lab.json("vm", "show", "web3")["state"] == "stopped"
        assert monitors(lab, "web3") == []
        lab("vm", "start", "web3")
        reach(lab, "anna", "10.255.0.13")

        type_at_console(lab, "web3", "poweroff -f")
        vm = wait_for(lambda: next((vm for vm in lab.json("vm", "list") if vm["name"] == "web3"
                                    and vm["state"] != "running"), None), 20, "the end")
        assert vm["state"] == "failed" and vm["reason"], vm
        lab("vm", "stop", "web3")
        lab("vm", "start", "web3")
        reach(lab, "anna", "10.255.0.13")
    finally:
        lab("vm", "delete", "web3", "--force")
    assert "web3" not in [vm["name"] for vm in lab.json("vm", "list")]
    wait_for(lambda: in_store() == before, 20, "nothing of web3 in the store")


def test_no_faults_unless_asked_for(lab):
    """An agent that was not started for tests cannot be held or killed by them."""
    for words in (["set", "copy", "kill"], ["release"], ["show"]):
        result = subprocess.run(["ovs-appctl", "-t", RUN / lab.lab / "a1/agent.ctl",
                                 "watari/fault", *words], text=True, capture_output=True,
                                timeout=10, check=False)
        assert result.returncode and "--test-faults" in result.stderr, (words, result)


def vms(lab):
    """The VMs, without the number that a move takes and that is never used again."""
    return [{**vm, "generation": None} for vm in lab.json("vm", "list")]


def refused(lab, status, words, *command):
    """A command fails with one sentence that has 'words', and changes nothing."""
    before = vms(lab)
    result = lab.run(*command)
    assert result.returncode == status, (command, result.stdout, result.stderr)
    # A move tells its phases before it fails.
    phases = re.compile(r"\w+: \w+: [a-z ]+")
    sentences = [line for line in result.stderr.splitlines() if not phases.fullmatch(line)]
    assert len(sentences) == 1, (command, result.stderr)
    for word in words:
        assert word in sentences[0], (command, result.stderr)
    assert vms(lab) == before, command


@pytest.mark.parametrize("status,words,command", [
    (1, ["nobody"], "vm migrate nobody --to b1"),
    (1, ["nowhere"], "vm migrate web1 --to nowhere"),
    (1, ["web1", "a1"], "vm migrate web1 --to a1"),
    (1, ["web1", "north"], "vm migrate web1 --to north"),
    (2, ["--to"], "vm migrate web1"),
    (2, ["quick"], "vm migrate web1 --to b1 --bandwidth quick"),
    (2, ["--downtime"], "vm migrate web1 --to b1 --downtime 0"),
    (1, ["web1"], "vm create web1 --host a1 --network blue --address 10.255.0.14"),
    (1, ["nowhere"], "vm create web4 --host nowhere --network blue --address 10.255.0.14"),
    (1, ["green"], "vm create web4 --host a1 --network green --address 10.255.0.14"),
    (1, ["10.255.0.11"], "vm create web4 --host a1 --network blue --address 10.255.0.11"),
    (1, ["10.9.9.9"], "vm create web4 --host a1 --network blue --address 10.9.9.9"),
    (2, ["--network"], "vm create web4 --host a1"),
    (1, ["nobody"], "vm delete nobody"),
    (1, ["web1"], "vm delete web1"),
    (1, ["nobody"], "vm stop nobody"),
    (1, ["no-such-migration"], "migration cancel no-such-migration"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_refused(lab, status, words, command):
    refused(lab, status, words, *command.split())


def test_pool_exhausted(lab):
    """No mobile address is left at the destination's site."""
    with lossless(lab, *TALKS):
        refused(lab, 1, ["pool", "exhausted"], "vm", "migrate", "web1", "--to", "d1")
        assert only_copy(lab, "web1") == "a1"


def test_no_memory(lab):
    """A VM has nearly all memory of the destination, or wants more than there is."""
    total = lab.json("host", "show", "c1")["memory_mib"]
    refused(lab, 1, ["huge", "not fit"], "vm", "create", "huge", "--host", "c1",
            "--network", "blue", "--address", "10.255.0.14", "--memory", f"{total + 1}M")
    try:
        lab("vm", "create", "big", "--host", "c1", "--network", "blue", "--address",
            "10.255.0.14", "--memory", f"{total - 64}M")
        refused(lab, 1, ["web1", "does not fit"], "vm", "migrate", "web1", "--to", "c1")
        refused(lab, 1, ["west", "MiB free"], "vm", "migrate", "web1", "--to", "west")
    finally:
        lab("vm", "delete", "big", "--force")


def test_one_at_a_time(lab):
    """A VM that is being migrated is not migrated."""
    uuid = begin_copy(lab, "web1", "b1", *SLOW_COPY)
    refused(lab, 1, ["web1", "already"], "vm", "migrate", "web1", "--to", "c1")
    assert migration(lab, uuid)["state"] not in FINAL
    lab("migration", "cancel", uuid)
    assert end_of(lab, uuid)["state"] == "rolled-back"
    refused(lab, 1, ["ended"], "migration", "cancel", uuid)
