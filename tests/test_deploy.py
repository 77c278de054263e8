"""docs/deploy.md, followed to the letter on three "hosts".

A host is a network, mount and PID namespace: it sees the installed files in /usr and /etc, has
/run and /var to itself, and has no systemd, so that "systemctl" runs what the units say
(unitkit.py).  What a namespace cannot do is left out: packages are there already, and sysctls
of the whole machine stay as they are.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT, build_has
from storekit import wait_for
from test_install import install

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not build_has("watari-agent", "watari-manager", "mini"),
                       reason="not everything is built"),
    pytest.mark.skipif("overlay" not in pathlib.Path("/proc/filesystems").read_text()
                       or not shutil.which("systemd-sysusers"),
                       reason="needs overlay file systems and systemd's tools"),
]

PREFIX = f"deploy-{os.getpid()}"        # Of namespaces; two of these tests may run at a time.
MGMT = {"t1": "192.0.2.1", "o1": "192.0.2.2", "c1": "192.0.2.9"}
ROUTERS = {"t1": "198.18.1.1/24", "o1": "198.18.2.1/24"}
ELSEWHERE = "apt-get", "sysctl"

SETUP = """set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={dest}/usr:/usr /usr
for folder in etc var; do
    mkdir {state}/$folder {state}/$folder.work
    lower=/$folder
    [ $folder = var ] || lower={dest}/etc:/etc
    mount -t overlay overlay \\
        -o lowerdir=$lower,upperdir={state}/$folder,workdir={state}/$folder.work /$folder
done
for folder in /run /var/lib/openvswitch /var/log/openvswitch; do
    mount -t tmpfs tmpfs $folder
done
mkdir /run/openvswitch /run/bin
cp {tests}/unitkit.py /run/bin/unitkit.py
printf '#!/bin/sh\\nexec /usr/bin/python3 /run/bin/unitkit.py "$@"\\n' >/run/bin/systemctl
chmod 755 /run/bin/systemctl
mount -t tmpfs tmpfs /root      # Last: the sources may be there.
echo ready
exec /usr/bin/python3 -c 'import signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True: time.sleep(1000)'
"""


def run(*command):
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def has_ended(pid):
    """Has a process ended, even if nobody has asked how yet?"""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


class Host:
    """A machine, as far as namespaces can be one."""

    def __init__(self, name, dest, folder):
        self.name, self.netns = name, f"{PREFIX}-{name}"
        state = folder / name
        state.mkdir()
        run("mount", "-t", "tmpfs", "tmpfs", state)     # Where an overlay may write.
        self.state = state
        script = SETUP.format(state=state, dest=dest, tests=ROOT / "tests")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.netns, "unshare", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c", script],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", line + self.process.stdout.read()
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.init = int(pathlib.Path(children).read_text().split()[0])

    def command(self, text):
        return ["nsenter", "-t", str(self.init), "-m", "-n", "-p", "env",
                "PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                "sh", "-c", f"cd /root\nset -e\n{text}"]

    def run(self, text, timeout=120):
        return subprocess.run(self.command(text), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False)

    def __call__(self, text):
        """Runs commands that have to succeed; returns what they print."""
        result = self.run(text)
        assert result.returncode == 0, (f"{self.name}: {text}\n{result.stdout}{result.stderr}\n"
                                        f"{self.logs()}")
        return result.stdout

    def logs(self):
        return self.run("tail -n 15 /run/units/*.log").stdout

    def qemus(self):
        """Numbers of the QEMU processes here."""
        return self.run("pgrep -x qemu-system-x86").stdout.split()

    def close(self):
        self.process.kill()             # And with it everything in its namespace.
        self.process.wait()
        wait_for(lambda: has_ended(self.init), what=f"the end of {self.name}")
        run("umount", self.state)


def make_network():
    """A management network, and a router between the sites."""
    for node in ("r", *MGMT):
        run("ip", "netns", "add", f"{PREFIX}-{node}")
        run("ip", "-n", f"{PREFIX}-{node}", "link", "set", "lo", "up")
    router = f"{PREFIX}-r"
    run("ip", "-n", router, "link", "add", "mgmt", "type", "bridge")
    run("ip", "-n", router, "link", "set", "mgmt", "up")
    for node, address in MGMT.items():
        netns = f"{PREFIX}-{node}"
        run("ip", "-n", router, "link", "add", node, "type", "veth",
            "peer", "name", "eth0", "netns", netns)
        run("ip", "-n", router, "link", "set", node, "master", "mgmt", "up")
        run("ip", "-n", netns, "address", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", netns, "link", "set", "eth0", "up")
    for node, address in ROUTERS.items():
        run("ip", "-n", router, "link", "add", f"wan-{node}", "type", "veth",
            "peer", "name", "eth1", "netns", f"{PREFIX}-{node}")
        run("ip", "-n", router, "address", "add", address, "dev", f"wan-{node}")
        run("ip", "-n", router, "link", "set", f"wan-{node}", "up")
        run("ip", "netns", "exec", router, "ethtool", "-K", f"wan-{node}", "tx", "off")
    run("ip", "netns", "exec", router, "sh", "-c",
        "echo 1 >/proc/sys/net/ipv4/ip_forward; "
        "for i in all default wan-t1 wan-o1; do echo 1 >/proc/sys/net/ipv4/conf/$i/rp_filter; done")


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deploy")
    dest = folder / "dest"
    hosts = {}
    install(dest)
    try:
        make_network()
        for name in MGMT:
            hosts[name] = Host(name, dest, folder)
        yield hosts
    finally:
        for host in hosts.values():
            host.close()
        for node in ("r", *MGMT):
            subprocess.run(["ip", "netns", "delete", f"{PREFIX}-{node}"], check=False)


def sections():
    """The page as {title: [(names of hosts, commands), ...]}."""
    result, title, names = {}, None, []
    lines = iter((ROOT / "docs/deploy.md").read_text().splitlines())
    for line in lines:
        if line.startswith("## "):
            title = line[3:]
            result[title] = []
        elif line.startswith("On **"):
            words = re.findall(r"\*\*(.*?)\*\*", line)
            names = list(MGMT) if words == ["every host"] else words
        elif line == "```sh":
            block = []
            for inner in lines:
                if inner == "```":
                    break
                block.append(inner)
            if names:           # Others are for whoever builds.
                result[title].append((names, "\n".join(block)))
            names = []
        elif line.strip():
            names = []
    return result


def left_out(text):
    """The text without what namespaces cannot do."""
    joined = text.replace("\\\n", " ")
    return "\n".join(line for line in joined.splitlines() if not line.startswith(ELSEWHERE))


def follow(hosts, title):
    """Does what a section says; returns what its last block printed, on its last host."""
    blocks, output = sections()[title], None
    assert blocks, title
    for names, text in blocks:
        for name in names:
            output = hosts[name](left_out(text))
    return output


def carry(host, to, *files):
    """What scp would do."""
    for file in files:
        source, target = f"/root/watari-pki/{file}", f"/etc/watari/{file}"
        mode = host(f"stat -c %a {source}").strip()
        assert mode == ("600" if file.endswith(".key") else "644")
        to(f"umask 077\ncat >{target}.new <<'END'\n{host(f'cat {source}')}END\n"
           f"chmod {mode} {target}.new\nmv {target}.new {target}")


def rotate(c1, t1):
    """New certificates, while everything runs."""
    (on_c1, commands), (on_t1, reload) = sections()["New certificates"]
    assert (on_c1, on_t1) == (["c1"], ["t1"])
    c1(commands)
    carry(c1, t1, "t1.crt", "t1.key")
    before = t1("ss -Htn state established '( dport = :6640 )'")
    t1(reload)
    assert before and t1("ss -Htn state established '( dport = :6640 )'") == before
    with_new = ("openssl s_client -connect 192.0.2.1:6650 -cert /etc/watari/manager.crt "
                "-key /etc/watari/manager.key </dev/null 2>/dev/null | "
                "openssl x509 -serial -noout")
    serial = t1("openssl x509 -serial -noout -in /etc/watari/t1.crt")
    wait_for(lambda: c1.run(with_new).stdout == serial, 10, "the new certificate")


def test_every_block_belongs_somewhere():
    """What this test leaves out is known, and nothing is misspelt."""
    page = sections()
    assert sum(map(len, page.values())) >= 20
    for blocks in page.values():
        for names, _ in blocks:
            assert set(names) <= set(MGMT)


def test_deploy(hosts):
    titles = list(sections())
    assert titles == ["What each host needs", "Certificates", "The store", "The manager",
                      "Sites and networks", "The switch", "The agents", "A VM", "Moving it",
                      "Changing the configuration", "New certificates", "Upgrading",
                      "Backing up the store", "Three servers for the store",
                      "Switching a hypervisor off", "What is protected"]
    t1, o1, c1 = hosts["t1"], hosts["o1"], hosts["c1"]

    for title in titles[:2]:
        follow(hosts, title)
    carry(c1, t1, "ca.crt", "t1.crt", "t1.key")
    carry(c1, o1, "ca.crt", "o1.crt", "o1.key")
    for title in titles[2:5]:
        follow(hosts, title)
    assert "blue" in c1("watari network list")

    for title in titles[5:7]:
        follow(hosts, title)
    wait_for(lambda: c1("watari host list").count(" up ") == 2, 30, "both hosts")

    follow(hosts, "A VM")
    assert len(t1.qemus()) == 1 and not o1.qemus()
    user = t1(f"ps -o user= -p {t1.qemus()[0]}").strip()
    assert user == "watari-qemu"

    follow(hosts, "Moving it")
    assert len(o1.qemus()) == 1 and not t1.qemus()
    qemu = o1.qemus()

    # The agent comes and goes, and the guest answers all the time.
    ping = subprocess.Popen(t1.command("exec ip netns exec alice ping -q -i 0.05 -c 100 "
                                       "10.255.0.11"), stdout=subprocess.PIPE, text=True)
    follow(hosts, "Changing the configuration")
    summary = ping.communicate(timeout=60)[0]
    assert "100 received" in summary, summary
    assert o1.qemus() == qemu
    log = o1("cat /run/units/watari-agent.log")
    assert '"memory" has its new value' in log
    assert o1.run("systemctl status watari-agent").returncode == 0
    wait_for(lambda: "4096" in c1("watari host list"), 20, "the new memory")

    # A wrong file is refused and changes nothing.
    result = o1.run("cp /etc/watari/agent.yaml /root; echo 'nonsense: 1' >>/etc/watari/agent.yaml;"
                    "systemctl reload watari-agent")
    assert result.returncode != 0 and 'no key "nonsense"' in result.stderr
    o1("cp /root/agent.yaml /etc/watari/agent.yaml")

    rotate(c1, t1)
    assert follow(hosts, "Upgrading") is not None
    assert o1.qemus() == qemu
    follow(hosts, "Backing up the store")
    wait_for(lambda: "web1" in c1.run("watari vm list").stdout, 30, "the store")
    t1("ip netns exec alice ip neighbour flush all\n"     # Then she is detected at once.
       "until ip netns exec alice ping -c 1 -W 1 10.255.0.11; do sleep 1; done")
    follow(hosts, "Switching a hypervisor off")
    assert not o1.qemus() and not t1.qemus()
