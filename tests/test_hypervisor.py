"""The hypervisor driver with real QEMUs, under TCG.

Two hosts, each a network namespace with a link between them; on each the
test driver (src/hypervisor/test-driver.c) is the agent, which tests kill as
they like.  The guest answers pings; its taps have an address, so that the
namespace itself is the guest's neighbour.
"""
import collections
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WATARI_BUILD", ROOT / "build"))
IMAGE = pathlib.Path(os.environ.get("WATARI_TEST_IMAGE", BUILD / "mini"))
DRIVER = BUILD / "src/hypervisor/test-hypervisor-driver"
WATCHDOG = BUILD / "src/hypervisor/watari-watchdog"
QEMU_UID = 64059                # Nobody in particular.
GUEST, NEIGHBOUR = "10.9.0.2", "10.9.0.1"
GUEST_MAC = "52:54:00:00:00:01"
MB = 1 << 20

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not (IMAGE / "vmlinuz").exists(),
                       reason=f"no guest image in {IMAGE}"),
]

# Sends an echo request (RFC 792) and waits a second for its answer.
PING = f"""
import os, socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
me = os.getpid() & 0xffff
sum = 0x0800 + me + 1
sum = (sum & 0xffff) + (sum >> 16)
s.sendto(struct.pack("!BBHHH", 8, 0, ~sum & 0xffff, me, 1), ("{GUEST}", 0))
end = time.monotonic() + 1
while time.monotonic() < end:
    s.settimeout(max(end - time.monotonic(), 0.001))
    answer = s.recv(2000)
    if answer[20] == 0 and answer[24:26] == me.to_bytes(2, "big"):
        sys.exit(0)
sys.exit(1)
"""

Event = collections.namedtuple("Event", "vm kind migration time_us text")


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(f"{os.strerror(code)}: {text}")
        self.code = code


def sh(*argv):
    return subprocess.run(argv, check=True, capture_output=True,
                          text=True).stdout


def wait_for(condition, seconds=20, what="it"):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s for {what}")


def has_ended(pid):
    """Whether nothing of a process is left but, perhaps, its status.

    Until its last thread has ended, a killed process keeps its taps."""
    try:
        return (len(os.listdir(f"/proc/{pid}/task")) == 1
                and pathlib.Path(f"/proc/{pid}/stat").read_text()
                .rpartition(")")[2].split()[0] == "Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


class Host:
    """A namespace, a run folder, and an agent that can die."""

    accelerator = "tcg"
    tls = ()

    def __init__(self, name, address, folder):
        self.name, self.address = name, address
        self.run_dir = folder / name
        self.namespace = f"{folder.name}-{name}"
        sh("ip", "netns", "add", self.namespace)
        self.ip("link", "set", "lo", "up")
        self.agent = None

    def ip(self, *argv):
        return sh("ip", "-n", self.namespace, *argv)

    def start(self):
        self.tags = 0
        self.results, self.events, self.frames = {}, [], []
        self.news = threading.Condition()
        self.agent = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, DRIVER, self.run_dir,
             self.name, f"{QEMU_UID}:{QEMU_UID}", self.accelerator,
             self.run_dir.parent / "image", self.address, WATCHDOG,
             *self.tls],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            bufsize=1)
        self.reader = threading.Thread(
            target=self._read, args=(self.agent.stdout,), daemon=True)
        self.reader.start()
        self._wait(lambda: self.results.get("adopted"))
        return self

    def _read(self, stdout):
        for line in stdout:
            word, *rest = line.rstrip("\n").split(" ", 5)
            with self.news:
                if word == "event":
                    self.events.append(Event(rest[0], rest[1], rest[2],
                                             int(rest[3]),
                                             " ".join(rest[4:])))
                elif word == "frame":
                    self.frames.append((int(rest[0]),
                                        bytes.fromhex(rest[1])))
                elif word == "adopted":
                    self.results[word] = ["ok"]
                else:
                    self.results[word] = rest
                self.news.notify_all()

    def _wait(self, condition, seconds=30):
        with self.news:
            assert self.news.wait_for(condition, seconds), "no answer"
            return condition()

    def begin(self, verb, vm, argument=""):
        self.tags += 1
        tag = f"t{self.tags}"
        self.agent.stdin.write(f"{tag} {verb} {vm} {argument}\n")
        return tag

    def end(self, tag, seconds=30):
        words = self._wait(lambda: self.results.get(tag), seconds)
        if words[0] == "ok":
            return " ".join(words[1:])
        raise Refused(int(words[1]), " ".join(words[2:]))

    def do(self, verb, vm, argument="", seconds=30):
        return self.end(self.begin(verb, vm, argument), seconds)

    def is_pending(self, tag):
        with self.news:
            return tag not in self.results

    def event(self, kind, migration=None, seconds=30):
        def find():
            for e in self.events:
                if e.kind == kind and migration in (None, e.migration):
                    return e
            return None
        return self._wait(find, seconds)

    def restart(self):
        self.agent.stdin.close()
        assert self.agent.wait(10) == 0
        return self.start()

    def kill(self):
        """The agent dies, without a word."""
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()
        self.reader.join()
        self.agent = None

    def folder(self, vm):
        return self.run_dir / str(vm)

    def pid(self, vm):
        return int((self.folder(vm) / "pid").read_text().split()[0])

    def can_ping(self):
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, sys.executable, "-c",
             PING], stderr=subprocess.DEVNULL).returncode == 0

    def meet_guest(self, vm):
        """Makes the namespace the guest's neighbour."""
        tap = self.do("tap", vm)
        self.ip("link", "set", tap, "address", "02:00:00:00:00:01")
        self.ip("address", "replace", NEIGHBOUR + "/24", "dev", tap)
        self.ip("neighbour", "replace", GUEST, "lladdr", GUEST_MAC, "dev",
                tap)
        return tap

    def boot(self, vm):
        self.do("boot", vm)
        self.meet_guest(vm)
        wait_for(self.can_ping, 60, "the guest to answer")

    def state(self, vm):
        return self.do("query", vm).split()[0]

    def destroy(self):
        try:
            self._destroy()
        finally:
            sh("ip", "netns", "del", self.namespace)

    def _destroy(self):
        if not self.agent:
            self.start()
        for line in self.do("list", uuid.UUID(int=0)).split("; "):
            if line:
                self.do("destroy", line.split()[0])
        leftovers = [p.name for p in self.run_dir.iterdir()]
        taps = [l for l in self.ip("-br", "link").split() if l[:2] == "wv"]
        self.agent.stdin.close()
        assert self.agent.wait(10) == 0
        assert not leftovers and not taps


@pytest.fixture
def hosts():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hyp-", dir="/run"))
    folder.chmod(0o755)
    (folder / "image").mkdir(0o700)     # QEMU's user cannot reach into it.
    for name in "vmlinuz", "initrd.gz":
        (folder / "image" / name).symlink_to((IMAGE / name).resolve())
    a = Host("a", "198.18.0.1", folder)
    b = Host("b", "198.18.0.2", folder)
    sh("ip", "link", "add", "wan", "netns", a.namespace, "type", "veth",
       "peer", "name", "wan", "netns", b.namespace)
    for host in a, b:
        host.ip("address", "add", host.address + "/24", "dev", "wan")
        host.ip("link", "set", "wan", "up")
        host.start()
    yield a, b
    try:
        a.destroy()
    finally:
        b.destroy()
    shutil.rmtree(folder)


@pytest.fixture
def vm(hosts):
    vm = uuid.uuid4()
    hosts[0].boot(vm)
    return vm


def copy(a, b, vm, armed=True):
    """To the switchover."""
    uri = b.do("listen", vm)
    if armed:
        a.do("capture", vm, "armed")
    a.do("send", vm, uri)
    return uri


def switch_over(a, b, vm):
    copy(a, b, vm)
    a.do("capture", vm, "open")
    a.do("proceed", vm)
    b.do("grant", vm)
    b.meet_guest(vm)


def test_boot_query_stop(hosts, vm):
    a, _ = hosts
    assert a.do("query", vm).split()[:3] == ["running", "none", "0"]
    a.do("boot", vm)            # Again does no harm.
    pid = a.pid(vm)
    a.do("stop", vm)
    assert a.event("exited").text == "stopped"
    assert not pathlib.Path(f"/proc/{pid}").exists()
    assert a.state(vm) == "absent"
    a.do("stop", vm)
    a.boot(vm)                  # And again, as after a night's sleep.


def test_boot_auto(hosts):
    """KVM is used where a guest really runs under it, and TCG elsewhere."""
    a, _ = hosts
    a.accelerator = "auto"
    a.restart().boot(uuid.uuid4())


def test_qemu_is_unprivileged(hosts, vm):
    a, _ = hosts
    status = dict(
        line.split(":\t", 1) for line in
        pathlib.Path(f"/proc/{a.pid(vm)}/status").read_text().splitlines()
        if ":\t" in line)
    assert status["Uid"].split() == [str(QEMU_UID)] * 4
    assert status["Gid"].split() == [str(QEMU_UID)] * 4
    assert status["Groups"].strip() == ""
    for kind in "Inh", "Prm", "Eff", "Amb":
        assert int(status["Cap" + kind], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    fds = pathlib.Path(f"/proc/{a.pid(vm)}/fd")
    assert os.readlink(fds / "0") == "/dev/null"
    io = a.folder(vm) / "io"
    assert io.stat().st_uid == QEMU_UID
    assert io.stat().st_mode & 0o777 == 0o700
    assert (a.folder(vm) / "pid").stat().st_uid == 0


def test_console_log(hosts, vm):
    a, _ = hosts
    log = a.folder(vm) / "io/console.log"
    wait_for(lambda: log.stat().st_size > 0, what="a word from the guest")


def test_adopt(hosts, vm):
    a, _ = hosts
    pid = a.pid(vm)
    a.kill()
    assert a.start().state(vm) == "running"
    assert a.pid(vm) == pid
    assert a.do("query", vm).split()[4] == "web1"
    assert a.can_ping()
    a.do("stop", vm)            # Not our child any more, but it obeys.


def test_adopt_recycled_pid(hosts, vm):
    """Whoever got the number of a QEMU that died is left alone."""
    a, _ = hosts
    a.kill()
    qemu = a.pid(vm)
    os.kill(qemu, signal.SIGKILL)
    wait_for(lambda: has_ended(qemu), what="QEMU's end")
    with subprocess.Popen(["sleep", "1000"]) as innocent:
        try:
            pid_file = a.folder(vm) / "pid"
            start = pid_file.read_text().split()[1]
            pid_file.write_text(f"{innocent.pid} {start}\n")
            assert a.start().state(vm) == "failed"
            a.do("destroy", vm)
            assert innocent.poll() is None
        finally:
            innocent.kill()     # Leaving the block waits for it.


def test_death_is_noticed(hosts, vm):
    a, _ = hosts
    os.kill(a.pid(vm), signal.SIGKILL)
    assert "signal 9" in a.event("exited").text
    assert a.state(vm) == "failed"
    with pytest.raises(Refused):
        a.do("proceed", vm)


def test_bad_boot_says_why(hosts):
    a, _ = hosts
    vm = uuid.uuid4()
    with pytest.raises(Refused, match="memory"):
        a.do("boot", vm, 2_000_000_000)


def test_move(hosts, vm):
    a, b = hosts
    switch_over(a, b, vm)
    assert b.can_ping()
    assert a.state(vm) == "sent"
    assert b.do("query", vm).split()[:3] == ["running", "completed", "1"]
    stopped, resumed = a.event("stopped"), b.event("resumed")
    assert 0 < resumed.time_us - stopped.time_us < 10_000_000
    print("blackout", (resumed.time_us - stopped.time_us) / 1000, "ms")

    # What is done is done, and doing it again changes nothing.
    b.do("grant", vm)
    a.do("proceed", vm)
    with pytest.raises(Refused) as e:
        a.do("cancel", vm)
    assert os.strerror(e.value.code) == "Device or resource busy"

    a.do("destroy", vm)
    switch_over(b, a, vm)       # And home.
    assert a.can_ping()
    b.do("destroy", vm)


def test_move_tls(hosts, vm):
    """Whoever does not have this migration's ticket neither sends nor receives, and nobody finds
    it afterwards."""
    a, b = hosts
    b.tls = "tls",
    b.restart()

    def listen(uuid):
        uri, _, ticket = b.do("listen", uuid).split(" ", 2)
        assert b.do("listen", uuid) == f"{uri} 0 {ticket}"      # As often as it is asked.
        return uri, ticket
    foreign = listen(uuid.uuid4())[1]

    def refused(ticket, match):
        with pytest.raises(Refused, match=match):
            a.do("send", vm, f"{listen(vm)[0]} 0 {ticket}")
        assert a.can_ping() and b.state(vm) in ("listening", "failed")
        b.do("destroy", vm)

    # Nothing is encrypted, first at the source, then at the destination.
    refused("", "migration failed")
    a.tls = "tls",
    a.restart()
    refused("", "no encryption")
    refused(foreign, "migration failed")
    refused(foreign[1:], "malformed")

    switch_over(a, b, vm)
    assert b.can_ping()
    for host in hosts:
        assert not (host.folder(vm) / "tls").exists()
        assert "BEGIN" not in pathlib.Path(f"/proc/{host.pid(vm)}/cmdline").read_text()


def test_capture(hosts, vm):
    """A stopped guest's packets come out in order, none missing."""
    a, b = hosts
    copy(a, b, vm)
    a.event("stopped")
    n = 1000
    for nic in range(2):
        a.do("inject", vm, f"{nic} 0 {n // 2}")
    a.do("capture", vm, "open")
    for nic in range(2):
        a.do("inject", vm, f"{nic} {n // 2} {n // 2}")
    a.do("proceed", vm)

    def mine():
        a.do("drain", vm)
        return [f for f in a.frames if f[1][12:14] == b"\x88\xb5"]
    wait_for(lambda: len(mine()) >= 2 * n, what="all frames")
    for nic in range(2):
        frames = [f for number, f in mine() if number == nic]
        assert [int.from_bytes(f[14:18], "big") for f in frames] \
            == list(range(n))
        assert {(len(f), f[5]) for f in frames} == {(60, nic + 1)}


def test_capture_outlives_agent(hosts, vm):
    """The guest runs on, and hears; what it did not get waits for the next agent."""
    a, b = hosts
    copy(a, b, vm)
    a.event("stopped")
    a.do("inject", vm, "0 0 200")
    a.do("capture", vm, "open")
    a.do("inject", vm, "0 200 100")
    wait_for(lambda: numbered(a, vm) == list(range(300)), what="all frames")
    a.kill()
    a.frames.clear()
    a.start()
    wait_for(lambda: a.state(vm) == "running" and a.can_ping(), 5, "a guest that hears")
    assert numbered(a, vm) == list(range(300))
    a.do("capture", vm, "closed")
    a.do("capture", vm, "off")
    assert a.can_ping()


def numbered(host, vm):
    """The numbers of the frames that "inject" sent to NIC 0 and that were captured."""
    host.do("drain", vm)
    return [int.from_bytes(f[14:18], "big") for number, f in host.frames
            if number == 0 and f[12:14] == b"\x88\xb5"]


def test_capture_ends(hosts, vm):
    """Armed, the guest lives as before; also after an agent died there."""
    a, _ = hosts
    a.do("capture", vm, "armed")
    assert a.can_ping()
    a.kill()
    assert a.start().can_ping()
    a.do("capture", vm, "armed")
    a.do("capture", vm, "open")
    assert not a.can_ping()
    a.do("drain", vm)
    assert len(a.frames) > 0
    a.do("capture", vm, "closed")
    assert a.can_ping()
    a.do("capture", vm, "off")
    a.do("capture", vm, "off")
    assert a.can_ping()


def test_cancel_in_copy(hosts, vm):
    a, b = hosts
    uri = b.do("listen", vm)
    sending = a.begin("send", vm, f"{uri} {MB}")    # Takes its time.
    a.event("migration", "active")
    a.do("cancel", vm)
    with pytest.raises(Refused) as e:
        a.end(sending)
    assert os.strerror(e.value.code) == "Operation canceled"
    assert a.state(vm) == "running" and a.can_ping()
    a.do("cancel", vm)          # Nothing to cancel.

    # The destination, left alone, knows that nothing will come of it.
    b.event("exited")
    with pytest.raises(Refused) as e:
        b.do("grant", vm)
    assert os.strerror(e.value.code) == "Exec format error"
    b.do("destroy", vm)
    switch_over(a, b, vm)
    assert b.can_ping()


def test_cancel_at_switchover(hosts, vm):
    a, b = hosts
    copy(a, b, vm)
    a.do("capture", vm, "open")
    assert a.state(vm) == "paused"
    a.do("cancel", vm)
    a.event("resumed")          # By itself.
    assert a.state(vm) == "running"
    a.do("capture", vm, "closed")
    a.do("capture", vm, "off")
    assert a.can_ping()
    with pytest.raises(Refused):
        a.do("take-back", vm)


def test_destination_dies_in_copy(hosts, vm):
    a, b = hosts
    uri = b.do("listen", vm)
    sending = a.begin("send", vm, f"{uri} {MB}")
    a.event("migration", "active")
    os.kill(b.pid(vm), signal.SIGKILL)
    with pytest.raises(Refused):
        a.end(sending)
    assert a.state(vm) == "running" and a.can_ping()


def test_destination_dies_at_switchover(hosts, vm):
    a, b = hosts
    copy(a, b, vm)
    os.kill(b.pid(vm), signal.SIGKILL)
    b.event("exited")
    with pytest.raises(Refused):
        a.do("proceed", vm)
    a.event("resumed")          # By itself.
    a.do("capture", vm, "off")
    assert a.can_ping()


def test_load_fails(hosts, vm):
    """The source has sent everything, but not to a guest of this shape."""
    a, b = hosts
    uri = b.do("listen", vm, 64 * 1024)
    sending = a.begin("send", vm, uri)
    b.event("exited")
    with pytest.raises(Refused) as e:
        b.do("grant", vm)
    assert os.strerror(e.value.code) == "Exec format error"
    try:
        a.end(sending)
        a.do("proceed", vm)
        a.do("take-back", vm)
    except Refused:
        pass                    # It noticed before it had sent all.
    wait_for(lambda: a.state(vm) == "running", what="the source to run")
    assert a.can_ping()


def test_take_back(hosts, vm):
    """After a refusal, with everything sent, the source runs again."""
    a, b = hosts
    copy(a, b, vm, armed=False)
    with pytest.raises(Refused):
        a.do("take-back", vm)
    a.do("proceed", vm)
    os.kill(b.pid(vm), signal.SIGKILL)
    b.event("exited")
    with pytest.raises(Refused) as e:
        b.do("grant", vm)
    assert os.strerror(e.value.code) == "Exec format error"
    assert a.state(vm) == "sent"
    a.do("take-back", vm)
    a.do("take-back", vm)
    assert a.state(vm) == "running" and a.can_ping()


def test_dead_before_the_grant_was_read_is_refused(hosts, vm):
    """Killed, but not yet known to be dead: what QEMU has not read it has not obeyed."""
    a, b = hosts
    copy(a, b, vm)
    a.do("proceed", vm)
    b.event("migration", "completed")
    os.kill(b.pid(vm), signal.SIGSTOP)
    granting = b.begin("grant", vm)
    wait_for(lambda: (b.folder(vm) / "granted").exists(), what="the grant")
    os.kill(b.pid(vm), signal.SIGKILL)
    with pytest.raises(Refused) as e:
        b.end(granting)
    assert os.strerror(e.value.code) == "Exec format error"
    assert not (b.folder(vm) / "granted").exists()
    a.do("take-back", vm)
    assert a.state(vm) == "running" and a.can_ping()


def test_dead_after_grant_is_not_refused(hosts, vm):
    a, b = hosts
    switch_over(a, b, vm)
    b.kill()
    os.kill(b.pid(vm), signal.SIGKILL)
    b.start()
    with pytest.raises(Refused) as e:
        b.do("grant", vm)
    assert os.strerror(e.value.code) == "No such process"


def test_grant_by_a_new_agent(hosts, vm):
    """Both agents die behind the copy; QEMU knows how things are."""
    a, b = hosts
    copy(a, b, vm)
    a.do("proceed", vm)
    a.kill()
    b.kill()
    a.start()
    b.start()
    assert a.state(vm) == "sent"
    assert b.do("query", vm).split()[:3] == ["paused", "completed", "0"]
    b.do("grant", vm)
    b.meet_guest(vm)
    assert b.can_ping()


def niceness(pid):
    """Of a process's threads, and of its session's group if the kernel has those."""
    threads = {os.getpriority(os.PRIO_PROCESS, int(tid))
               for tid in os.listdir(f"/proc/{pid}/task")}
    group = pathlib.Path(f"/proc/{pid}/autogroup")
    if group.exists():
        threads.add(int(group.read_text().split()[-1]))
    return threads


def test_guest_hastes_after_the_grant(hosts, vm):
    """It goes before others for a moment, but not for longer, not even if its agent dies."""
    a, b = hosts
    copy(a, b, vm)
    pid = b.pid(vm)
    assert niceness(pid) == {0}
    a.do("proceed", vm)
    tag = b.begin("grant", vm)
    wait_for(lambda: niceness(pid) == {-10}, what="haste")
    b.end(tag)
    wait_for(lambda: niceness(pid) == {0}, what="the end of haste")
    b.kill()
    os.setpriority(os.PRIO_PROCESS, pid, -10)
    assert niceness(pid) != {0}
    b.start()
    wait_for(lambda: niceness(pid) == {0}, what="an agent that knows of no haste")


def test_agent_dies_in_copy(hosts, vm):
    """A new agent goes on with the copy that it finds."""
    a, b = hosts
    uri = b.do("listen", vm)
    a.begin("send", vm, f"{uri} {20 * MB}")
    a.event("migration", "active")
    a.kill()
    b.kill()
    b.start()
    assert b.do("listen", vm) == uri
    a.start()
    a.do("send", vm, uri)
    a.do("proceed", vm)
    b.do("grant", vm)
    b.meet_guest(vm)
    assert b.can_ping()


def connection_refused(a, uri):
    host, port = uri.removeprefix("tcp:").rsplit(":", 1)
    return subprocess.run(
        ["ip", "netns", "exec", a.namespace, sys.executable, "-c",
         f"import socket\nsocket.create_connection(('{host}', {port}), 5)"],
        stderr=subprocess.PIPE).stderr.count(b"ConnectionRefused") > 0


def test_agent_dies_listening(hosts, vm):
    """Nobody can reach that QEMU; the source runs on, and a new agent listens
    for it again."""
    a, b = hosts
    uri = b.do("listen", vm)
    b.kill()
    with pytest.raises(Refused) as e:
        a.do("send", vm, uri)
    assert os.strerror(e.value.code) == "Connection refused"
    assert a.state(vm) == "running" and a.can_ping()
    assert b.start().state(vm) == "listening"
    switch_over(a, b, vm)
    assert b.can_ping()


def test_nobody_sends(hosts, vm):
    """Who listens in vain can be told to stop; then nobody can connect."""
    a, b = hosts
    uri = b.do("listen", vm)
    assert b.do("listen", vm) == uri
    b.do("destroy", vm)
    assert connection_refused(a, uri)
    with pytest.raises(Refused):
        a.do("send", vm, uri)
    assert a.state(vm) == "running"
    a.do("cancel", vm)


def test_destination_does_not_answer(hosts, vm):
    """Nothing of it is left, and it does not hold up a cancel."""
    a, b = hosts
    b.ip("link", "set", "wan", "down")
    sending = a.begin("send", vm, f"tcp:{b.address}:4711")
    time.sleep(0.5)
    a.do("cancel", vm)          # And the test tries again.
    assert a.do("query", vm).split()[:2] == ["running", "none"]
    with pytest.raises(Refused):
        a.end(sending)
    b.ip("link", "set", "wan", "up")
    switch_over(a, b, vm)
    assert b.can_ping()


def test_one_source_only(hosts, vm):
    a, b = hosts
    uri = copy(a, b, vm)
    assert connection_refused(a, uri)
    a.do("proceed", vm)
    b.do("grant", vm)


def test_watchdog_when_agent_dies(hosts, vm):
    a, b = hosts
    copy(a, b, vm)
    a.do("capture", vm, "open")
    a.kill()
    killed = time.monotonic()
    a.start()
    wait_for(lambda: a.state(vm) == "running", 5, "the watchdog")
    assert time.monotonic() - killed < 1.5
    a.do("capture", vm, "off")
    assert a.can_ping()


def test_watchdog_when_agent_dawdles(hosts, vm):
    a, b = hosts
    copy(a, b, vm)
    resumed, stopped = a.event("resumed"), a.event("stopped")
    assert 1.9 < (resumed.time_us - stopped.time_us) / 1e6 < 4
    with pytest.raises(Refused):
        a.do("proceed", vm)
    a.do("capture", vm, "off")
    assert a.can_ping()


@pytest.mark.parametrize("status", ["pre-switchover", "device"])
def test_watchdog_when_command_is_lost(tmp_path, status):
    """An agent that says that it goes on may die before QEMU has read its command."""
    path = tmp_path / "qmp"
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        with subprocess.Popen([WATCHDOG, path], stdin=theirs, stdout=theirs) as watchdog:
            theirs.close()
            server.settimeout(10)
            connection, _ = server.accept()
            connection.settimeout(10)
            commands = connection.makefile("r")

            def say(what):
                connection.sendall(json.dumps(what).encode() + b"\n")

            def read_command():
                """A command is complete with its last brace, as for a real QEMU."""
                text = ""
                while True:
                    byte = commands.read(1)
                    if not byte:
                        return None
                    text += byte
                    try:
                        return json.loads(text)
                    except ValueError:
                        pass

            def obey(result):
                command = read_command()
                if not command:
                    return None
                say({"return": result, "id": command["id"]})
                return command["execute"]

            say({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0},
                                     "package": ""}, "capabilities": []}})
            assert obey({}) == "qmp_capabilities"
            assert obey({"status": "pre-switchover"}) == "query-migrate"
            assert ours.recv(64) == b"ready\n"
            ours.sendall(b"aside\n")
            ours.close()
            assert obey({"status": status}) == "query-migrate"
            if status == "pre-switchover":
                assert obey({}) == "migrate_cancel"
                say({"event": "RESUME", "timestamp": {"seconds": 1, "microseconds": 0}})
                assert obey({}) == "qom-set"    # The guest is to hear again.
                while obey({}) == "qom-set":
                    pass
            else:
                assert obey({}) is None
            assert watchdog.wait(timeout=5) == 0


def test_watchdog_stands_aside(hosts, vm):
    """Nothing is left of it when a move is done."""
    a, b = hosts
    switch_over(a, b, vm)
    socket = str(a.folder(vm) / "io/watchdog.qmp")

    def watchdogs():
        return [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                if socket.encode() in read(p)]

    def read(path):
        try:
            return path.read_bytes()
        except OSError:
            return b""
    wait_for(lambda: not watchdogs(), 2, "the watchdog to end")
