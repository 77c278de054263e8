"""What tests of whole systems ask a lab: probes, guests, switches, VMM monitors."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from conftest import BUILD, RUN
from storekit import wait_for

BEARABLE_US = 30000         # 99 of 100 answers.
FINAL = "completed", "rolled-back", "failed", "stuck"


def namespace(lab, node):
    return f"watari-{lab.lab}-{node}"


def inside(lab, node):
    """The beginning of a command that is to run in a node's namespace, as one process."""
    return ["ip", "netns", "exec", namespace(lab, node)]


def run_inside(lab, node, *command):
    """Runs a command that has to succeed; returns its output."""
    result = subprocess.run([*inside(lab, node), *map(str, command)], text=True,
                            capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, f"{command} at {node}: {result.stdout}{result.stderr}"
    return result.stdout


def probe(lab, node, address, *options):
    """What a UDP probe from 'node' sees."""
    return json.loads(run_inside(lab, node, BUILD / "watari-probe", "udp", address, *options))


def reach(lab, node, address):
    """Waits until 'node' reaches 'address'."""
    for _ in range(30):
        if probe(lab, node, address, "--count", 10, "--interval-us", 10000)["answered"] >= 9:
            return
    raise AssertionError(f"{node} does not reach {address}")


class Prober:
    """A watari-probe that runs in a node's namespace until it is told to stop."""

    def __init__(self, lab, node, kind, address, *options):
        self.what = " ".join(map(str, (node, kind, address, *options)))
        self.process = subprocess.Popen(
            [*inside(lab, node), BUILD / "watari-probe", kind, address, *map(str, options)],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def stop(self):
        """It asks no more, and waits for answers under way."""
        self.process.send_signal(signal.SIGTERM)

    def finish(self):
        """Returns its summary."""
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, f"{self.what}: {err}"
        return json.loads(out)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def running(*probers):
    """Lets them run while the body does, and a little before and after; yields a list that
    has their summaries afterwards."""
    summaries = []
    try:
        time.sleep(0.3)
        yield summaries
        time.sleep(0.3)
        for prober in probers:
            prober.stop()
        summaries += [prober.finish() for prober in probers]
    finally:
        for prober in probers:
            prober.kill()


def bearable(lab, talks):
    """The talks, each as much slower as it takes for answers to come soon: where a guest
    (without KVM, on a busy machine) cannot keep up, its queues overflow by themselves."""
    for factor in 1, 2, 4, 8:
        slower = [(node, address, factor * interval) for node, address, interval in talks]
        probers = [Prober(lab, node, "udp", address, "--interval-us", interval)
                   for node, address, interval in slower]
        with running(*probers) as summaries:
            pass
        if max(summary["rtt_p99_us"] for summary in summaries) < BEARABLE_US:
            break
    return slower


@contextlib.contextmanager
def lossless(lab, *talks):
    """Probes each (node, address, interval in us) while the body runs: nothing may be lost
    or come twice."""
    for node, address, _ in talks:
        reach(lab, node, address)
    probers = [Prober(lab, node, "udp", address, "--interval-us", interval)
               for node, address, interval in bearable(lab, talks)]
    with running(*probers) as summaries:
        yield
    for prober, summary in zip(probers, summaries):
        assert summary["sent"] > 10, f"{prober.what}: {summary}"
        assert (summary["lost"], summary["duplicated"]) == (0, 0), f"{prober.what}: {summaries}"


class Guest:
    """The control service of a guest with the image "mini", asked from 'node'."""

    def __init__(self, lab, node, address):
        self.lab, self.node, self.address = lab, node, address

    def __call__(self, line):
        answer = self.lab.python(self.node, "guest_ask.py", self.address, line)
        assert not answer.startswith("error"), f"{line}: {answer}"
        return answer


class Monitor:
    """A QEMU of a lab, by its own word."""

    def __init__(self, lab, folder):
        self.folder = folder
        self.host = folder.parent.parent.name
        self.pid = int((folder / "pid").read_text().split()[0])      # And when it began.

    def ask(self, line, sign):
        """What it says, which has 'sign' in it; None if it has ended."""
        try:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(10)
                monitor.connect(str(self.folder / "io/monitor"))
                monitor.sendall(f"{line}\n".encode())
                text = b""
                while sign.encode() not in text or not text.endswith(b"(qemu) "):
                    data = monitor.recv(4096)
                    if not data:
                        return None
                    text += data
        except (FileNotFoundError, ConnectionError):
            return None
        return text.decode()

    def status(self):
        """Such as "running" or "paused (inmigrate)"; None if it has ended."""
        text = self.ask("info status", "VM status")
        return text and re.search(r"VM status: ([^\r\n]+)", text)[1]


def monitors(lab, vm):
    """The QEMUs of a VM, wherever they are."""
    uuid = lab.json("vm", "show", vm)["uuid"]
    found = []
    for folder in (RUN / lab.lab).glob(f"*/vms/{uuid}"):
        with contextlib.suppress(OSError, IndexError):     # Begins or ends just now.
            monitor = Monitor(lab, folder)
            os.kill(monitor.pid, 0)
            found.append(monitor)
    return found


def only_copy(lab, vm):
    """Waits until the VM has one QEMU, which runs; never may two.  Returns its host."""
    def look():
        found = {monitor.host: monitor.status() for monitor in monitors(lab, vm)}
        ran = [host for host, status in found.items() if status == "running"]
        assert len(ran) <= 1, f"several copies of {vm} run: {found}"
        return ran if len(found) == 1 else None
    return wait_for(look, 30, f"a single QEMU of {vm}")[0]


def part(lab, node, name):
    """The process of a part of a lab."""
    for row in lab.json("lab", "status"):
        if (row["lab"], row["node"], row["part"]) == (lab.lab, node, name):
            return row["pid"]
    raise AssertionError(f"{node} has no {name}")


def answering(lab):
    """Waits until the manager does."""
    wait_for(lambda: lab.run("vm", "list").returncode == 0, 20, "the manager")


def begin_copy(lab, vm, to, *options):
    """Requests a migration and waits until memory is being copied; returns its UUID."""
    uuid = lab.json("vm", "migrate", vm, "--to", to, "--detach", *options)["uuid"]

    def copies():
        row = migration(lab, uuid)
        assert row["state"] not in FINAL, row
        return row["step"] == "move" and row["copied"]
    wait_for(copies, 20, "the copy")
    return uuid


def migration(lab, uuid):
    return next(row for row in lab.json("migration", "list") if row["uuid"] == uuid)


def end_of(lab, uuid, timeout=60):
    """Waits for the end of a migration; returns it."""
    def ended():
        row = migration(lab, uuid)
        return row if row["state"] in FINAL else None
    return wait_for(ended, timeout, f"the end of migration {uuid}")


def flows(lab, host):
    """The flows of a host's switch: what they say -> their age in seconds."""
    target = f"unix:{RUN / lab.lab / host}/br0.mgmt"
    text = subprocess.run(["ovs-ofctl", "-OOpenFlow15", "dump-flows", target], text=True,
                          check=True, capture_output=True).stdout
    found = {}
    for line in text.splitlines():
        match = re.search(r"duration=([\d.]+)s", line)
        if match and "timeout=" not in line:
            found[re.sub(r"(duration|n_packets|n_bytes|idle_age)=[^,]*,? ", "", line)] \
                = float(match[1])
    return found


def store_rows(lab, table):
    """The rows of one of the store's tables, as dictionaries of text."""
    path = RUN / lab.lab / "store/db.sock"
    text = subprocess.run(["ovsdb-client", "--format=json", "dump", f"unix:{path}", "Watari",
                           table], text=True, check=True, capture_output=True).stdout
    dump = json.loads(text)
    return [dict(zip(dump["headings"], row)) for row in dump["data"]]


@contextlib.contextmanager
def stranger(lab, name, host, address):
    """A namespace behind a port of a host's switch that says only which network it is on."""
    netns, port = namespace(lab, name), f"x-{name}"
    vsctl = ["ovs-vsctl", f"--db=unix:{RUN / lab.lab / host}/db.sock"]
    try:
        subprocess.run(["ip", "netns", "add", netns], check=True)
        for command in (
                ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"],
                ["ip", "link", "add", "eth0", "type", "veth",
                 "peer", "name", port, "netns", namespace(lab, host)],
                ["ethtool", "-K", "eth0", "tx", "off"],
                ["ip", "addr", "add", address, "dev", "eth0"]):
            run_inside(lab, name, *command)
        run_inside(lab, host, "ip", "link", "set", port, "up")
        subprocess.run([*vsctl, "add-port", "br0", port, "--", "set", "interface", port,
                        "external_ids:watari-network=blue"], check=True)
        run_inside(lab, name, "ip", "link", "set", "eth0", "up")
        yield
    finally:
        subprocess.run([*vsctl, "--if-exists", "del-port", port], check=False)
        subprocess.run(["ip", "netns", "delete", netns], check=False)


def link_address(lab, node, device="eth0"):
    """The MAC address of a node's interface."""
    return json.loads(run_inside(lab, node, "ip", "-j", "link", "show", device))[0]["address"]


def type_at_console(lab, vm, line):
    """Types a line at the shell on a VM's serial console."""
    monitor = monitors(lab, vm)[0]
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(monitor.folder / "io/console"))
        console.sendall(f"\n{line}\n".encode())
        time.sleep(0.2)
