"""Benchmarks: their command line, a plain L2 move, and that nothing is left.

What moves a lab's VM is measured by "watari bench handover" itself; here one
move each of it must come out as the document says."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from conftest import BUILD, ROOT, Watari, build_has, needs_root

RELATIONS = {"<=": float.__le__, "<": float.__lt__, ">=": float.__ge__, ">": float.__gt__,
             "==": float.__eq__}
PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(not build_has("watari-bench"), reason="watari-bench is not built")


def remains():
    """What a benchmark makes and has to remove."""
    left = [str(path) for path in pathlib.Path("/run").glob("watari-bench")]
    left += [path.name for path in pathlib.Path("/run/netns").glob("watari-bench-*")]
    left += [str(path) for path in pathlib.Path("/run/watari").glob("bench-*")]
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "/run/watari-bench/" in line or "guest=l2" in line:
            left.append(line)
    return left


def bench(*args, timeout=280):
    return subprocess.run([BUILD / "watari", "bench", *map(str, args)], text=True,
                          capture_output=True, timeout=timeout)


def needs_mini():
    needs_root()
    if not (BUILD / "mini/vmlinuz").exists():
        pytest.skip("no guest image")


def check_document(document):
    """Every verdict can be redone from what is printed."""
    assert set(document) == {"bench", "machine", "rows", "summary", "checks"}
    for check in document["checks"]:
        assert set(check) - {"why"} == {"name", "value", "unit", "relation", "bar", "ok"}
        if check["value"] is None:
            assert not check["ok"]
        else:
            holds = RELATIONS[check["relation"]](float(check["value"]), float(check["bar"]))
            assert holds == check["ok"], check


def test_list():
    result = bench()
    assert result.returncode == 0
    assert result.stdout.startswith("handover ")


@pytest.mark.parametrize("args,words", [
    (["nothing"], "there is no benchmark"),
    (["handover", "--rows", "near,nowhere"], 'has no row "nowhere"'),
    (["handover", "--runs", "0"], "--runs"),
    (["handover", "--runs", "x"], "--runs"),
    (["handover", "-o", "xml"], "-o"),
    (["handover", "again"], "too many"),
    (["faults", "--rows", "link-nowhere"], 'has no row "link-nowhere"'),
    (["walk", "--seed", "0"], "--seed"),
])
def test_usage(args, words):
    result = bench(*args)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_plain_l2(tmp_path):
    """Two moves there and back; they lose something, and nothing is left."""
    needs_mini()
    page = tmp_path / "page.html"
    result = bench("handover", "--rows", "l2", "--runs", 2, "-o", "json", "--html", page)
    document = json.loads(result.stdout)
    check_document(document)
    assert result.returncode == 1, "without checks there is nothing to be content with"
    rows = document["rows"]
    assert [row["result"] for row in rows] == ["completed"] * 2
    for row in rows:
        assert 0 < row["blackout_ms"] < 2000
        assert row["gap_ms"] >= row["blackout_ms"] - 1.5
        assert row["sent"] > 3 * 450
        assert len(row["correspondents"]) == 3
    text = page.read_text()
    assert "<svg" in text and "http" not in text.replace("http-equiv", "")
    assert remains() == []


def test_only_one_at_a_time():
    needs_mini()
    with subprocess.Popen([BUILD / "watari", "bench", "handover", "--rows", "l2", "--runs", "50"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 20
        while not remains() and time.monotonic() < deadline:
            time.sleep(0.05)
        result = bench("handover", "--rows", "l2")
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=30) == 1
    assert result.returncode == 1
    assert "another benchmark" in result.stderr
    assert remains() == []


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted(sig):
    """Killed, it leaves no process, and the next benchmark sweeps the rest."""
    needs_mini()
    with subprocess.Popen([BUILD / "watari", "bench", "handover", "--rows", "l2", "--runs", "50"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(5)
        process.send_signal(sig)
        process.wait(timeout=30)
    if sig == signal.SIGKILL:
        time.sleep(0.5)         # The kernel ends what it has left.
        assert not [line for line in remains() if "qemu" in line or "watari-probe" in line]
        bench("handover", "--rows", "l2", "--runs", 1)
    assert remains() == []


def test_moves():
    """A move, a cancelled one, and restarts under probes, as they come."""
    needs_mini()
    result = bench("handover", "--rows", "near,cancel,restart", "--runs", 1, "-o", "json")
    document = json.loads(result.stdout)
    check_document(document)
    checks = {check["name"]: check for check in document["checks"]}
    for name in "near.failed", "cancel.rolled_back":
        assert checks[name]["ok"], result.stderr
    documented = (ROOT / "docs/benchmarks.md").read_text()
    for name in checks:
        assert f"`{name}`" in documented or f"`{name.split('.')[0]}.*`" in documented, name
    # Losses that a busy machine explains are no failure of this test.
    for row in document["rows"]:
        if row["scheme"] == "watari":
            assert row["lost"] <= row.get("switch_drops", 0), row
            assert row["duplicated"] == 0, row
    near = [row for row in document["rows"] if row["row"] == "near"]
    assert [row["scheme"] for row in near] == ["watari", "l2"]
    assert near[0]["net_after_ms"] < near[1]["net_after_ms"]
    assert {row["part"] for row in document["rows"] if row["row"] == "restart"} \
        == {"agent", "manager", "store"}
    assert remains() == []


def test_faults():
    """Some of the ways in which a move can go wrong, once each."""
    needs_mini()
    rows = ["destination-agent-copy", "destination-qemu-continued", "source-agent-granted",
            "cancel-copy", "leader-copy"]
    result = bench("faults", "--rows", ",".join(rows), "--runs", 1, "-o", "json")
    document = json.loads(result.stdout)
    check_document(document)
    assert [row["row"] for row in document["rows"]] == rows
    for row in document["rows"]:
        assert "failure" not in row, row
        assert (row["ended_well"], row["one_copy"], row["running"]) == (1, 1, 1), row
        assert row["held_ms"] > 100
        assert row["duplicated"] == 0, row
        # As above.
        assert row["lost"] <= row["switch_drops"], row
    results = {row["row"]: row["result"] for row in document["rows"]}
    assert results["cancel-copy"] == "rolled-back"
    assert results["source-agent-granted"] == "completed"
    checks = {check["name"] for check in document["checks"]}
    assert {f"{row}.{figure}" for row in rows for figure in ("ended", "one_copy", "lost")} <= checks
    assert remains() == []


def test_independent_probe(tmp_path):
    """It sees what is lost, doubled and late; a namespace with an echo that does so."""
    needs_root()
    netns = f"bench-{os.getpid()}"
    echo = tmp_path / "echo.py"
    echo.write_text("""
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7))
print("ready", flush=True)
while True:
    data, sender = s.recvfrom(2000)
    number = struct.unpack_from("!Q", data, 8)[0]
    if number in (100, 101, 102):
        continue
    if number == 200:
        held = data
        continue
    s.sendto(data, sender)
    if number == 201:
        s.sendto(held, sender)
    if number == 300:
        s.sendto(data, sender)
""")
    subprocess.run(["ip", "netns", "add", netns], check=True)
    try:
        subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
        with subprocess.Popen(["ip", "netns", "exec", netns, PYTHON, echo],
                              stdout=subprocess.PIPE) as server:
            assert server.stdout.readline() == b"ready\n"
            result = subprocess.run([PYTHON, ROOT / "tests/independent-probe.py", "-n", netns,
                                     "127.0.0.1", "1"], capture_output=True, text=True)
            server.kill()
    finally:
        subprocess.run(["ip", "netns", "delete", netns], check=True)
    assert result.returncode == 1, result.stderr
    figures = json.loads(result.stdout)
    assert figures["sent"] > 500
    assert (figures["lost"], figures["duplicated"], figures["reordered"]) == (3, 1, 1)
    assert figures["gap_ms"] >= 3
