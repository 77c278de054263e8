#!/usr/bin/env python3
"""Tests watari-wire and watari-probe together, between network namespaces.

    test-link.py BUILD      the folder that Meson builds in; needs root

Leaves with 77, which means "skipped", where namespaces cannot be made.
"""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1])
WIRE = BUILD / "src/wire/watari-wire"
BENCH = BUILD / "src/wire/watari-wire-bench"
PROBE = BUILD / "src/probe/watari-probe"
NODES = {name: f"wiretest{os.getpid()}{name}" for name in "amb"}
MS = 1000                       # in us


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def inside(node, *command, **options):
    return subprocess.Popen(["ip", "netns", "exec", NODES[node],
                             *map(str, command)], text=True, **options)


@contextlib.contextmanager
def topology():
    """Two nodes a and b; m between them has an interface to each."""
    try:
        for node in NODES.values():
            ip("netns", "add", node)
        for number, node in enumerate("ab", 1):
            ip("link", "add", "e0", "netns", NODES[node], "type", "veth",
               "peer", "name", f"to-{node}", "netns", NODES["m"])
            ip("-n", NODES["m"], "link", "set", f"to-{node}", "up")
            ip("-n", NODES[node], "link", "set", "lo", "up")
            ip("-n", NODES[node], "link", "set", "e0", "up")
            ip("-n", NODES[node], "addr", "add", f"10.9.0.{number}/24",
               "dev", "e0")
            ip("-n", NODES[node], "addr", "add", f"fd09::{number}/64",
               "dev", "e0", "nodad")
        yield
    finally:
        for node in NODES.values():
            subprocess.run(["ip", "netns", "del", node], check=False)


@contextlib.contextmanager
def running(node, *command):
    """Starts a program that says "ready", and expects a clean end of it."""
    process = inside(node, *command, stdout=subprocess.PIPE,
                     stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        yield process
        process.terminate()
        assert process.wait(5) == 0, process.stderr.read()
    finally:
        process.kill()


class Orders:
    """The control socket of a wire."""

    def __init__(self, folder):
        self.path = f"{folder}/control"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"{folder}/orders")
        self.socket.settimeout(5)

    def __call__(self, line):
        self.socket.sendto(line.encode(), self.path)
        return self.socket.recv(4096).decode().strip()


def output(node, *command):
    process = inside(node, *command, stdout=subprocess.PIPE)
    return json.loads(process.communicate(timeout=60)[0])


def one_way(count, address="10.9.0.2"):
    return json.loads(subprocess.check_output(
        [BENCH, "--from", NODES["a"], "--to", NODES["b"], "--address",
         address, "--count", str(count), "--interval-us", "1000",
         "-o", "json"]))


def check_delay(order):
    # Let neighbours be found before the clock counts.
    assert one_way(50)["received"] == 50
    for delay in 1, 25:
        assert order(f"there delay={delay}ms") == "ok"
        seen = one_way(500)
        assert seen["received"] == 500 and seen["reordered"] == 0, seen
        # Generous: others work on this machine too.
        assert 0 <= seen["p50_us"] - delay * MS < 1000, seen
    assert order("there delay=3ms,jitter=3ms") == "ok"
    seen = one_way(500, "fd09::2")
    assert seen["received"] == 500 and seen["reordered"] == 0, seen


def check_loss_and_cut(order):
    assert order("there loss=50%") == "ok"
    assert 150 < one_way(500)["received"] < 350
    assert order("there") == "ok"
    assert order("cut there") == "ok"
    assert one_way(100)["received"] == 0
    assert order("heal") == "ok"
    assert one_way(100)["received"] == 100
    assert "no known unit" in order("there delay=3")
    assert "is not one of" in order("burn")
    assert " cut=1" in order("stats")


def check_rate(order):
    # 100 frames of 106 bytes at 100 kbit/s take 848 ms.
    assert order("there rate=100kbit") == "ok"
    seen = one_way(100)
    assert seen["received"] == 100, seen
    assert 600 * MS < seen["max_us"] < 900 * MS, seen
    assert order("there") == "ok"


def check_probes(order, folder):
    with running("b", PROBE, "echo-server", "--source", 19):
        for address in "10.9.0.2", "fd09::2":
            seen = output("a", PROBE, "udp", address, "--count", 500,
                          "--record", f"{folder}/record")
            assert seen["answered"] == 500 and seen["lost"] == 0, seen
            text = pathlib.Path(f"{folder}/record").read_text()
            assert text.startswith("watari-record 1 udp\n")
            assert text.count("\na ") == 500 and text.endswith("\nend\n")

            seen = output("a", PROBE, "tcp-download", address, "--rate",
                          1000000, "--seconds", 1)
            assert 700000 < seen["bytes"] < 1100000, seen
            seen = output("a", PROBE, "tcp-idle", address, "--interval-ms",
                          50, "--seconds", 1)
            assert seen["lost"] <= 1 and not seen["broken"], seen

        assert order("there loss=20%") == "ok"
        seen = output("a", PROBE, "udp", "10.9.0.2", "--count", 500)
        assert 40 < seen["lost"] < 180, seen
        assert order("there") == "ok"


def check_end(folder):
    """A wire whose interface vanishes leaves with success."""
    with running("m", WIRE, "to-a", "to-b") as wire:
        ip("-n", NODES["a"], "link", "del", "e0")
        assert wire.wait(5) == 0


def main():
    if os.geteuid() or subprocess.run(
            ["unshare", "--net", "true"], capture_output=True).returncode:
        sys.exit(77)
    with topology(), tempfile.TemporaryDirectory() as folder:
        with running("m", WIRE, "--seed", 1, "--control",
                     f"{folder}/control", "to-a", "to-b") as wire:
            order = Orders(folder)
            check_delay(order)
            check_loss_and_cut(order)
            check_rate(order)
            check_probes(order, folder)
            wire.send_signal(signal.SIGUSR1)
            assert "to-a > to-b: received=" in wire.stderr.readline()
        assert not os.path.exists(f"{folder}/control")
        check_end(folder)


main()
