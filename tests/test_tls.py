"""Agent and manager with certificates: a store that demands them, and an agent's channel that
does, too.  These agents have no switch and no VMs; what TLS is about does not need them.  Only
the end of the file has a whole lab, in which a VM moves."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

import pytest

from conftest import RUN, Watari, build_has, leftovers
from labkit import monitors, only_copy
from storekit import BUILD, Store, World, stop, wait_for

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not build_has("watari", "watari-agent", "watari-manager"),
    reason="needs root and a build")

ADDRESS = "127.0.0.1"


def pki(*words):
    subprocess.run([BUILD / "watari", "pki", *map(str, words)], check=True, capture_output=True)


def free_ports(n):
    """The first of 'n' ports that follow each other."""
    while True:
        sockets = [socket.socket() for _ in range(n)]
        try:
            sockets[0].bind((ADDRESS, 0))
            first = sockets[0].getsockname()[1]
            for i in range(1, n):
                sockets[i].bind((ADDRESS, first + i))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()


@pytest.fixture(name="certs", scope="module")
def fixture_certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    for ca in "ours", "theirs":
        pki("init", folder / ca)
        for name in "t1", "o1", "manager", "store":
            pki("issue", folder / ca, name)
    return folder


def files(certs, name, ca="ours"):
    folder = certs / ca
    return {"private-key": folder / f"{name}.key", "certificate": folder / f"{name}.crt",
            "ca-cert": folder / "ca.crt"}


def options(values):
    return [f"--{key}={value}" for key, value in values.items()]


class TlsStore(Store):
    """Listens for those with a certificate, too."""

    def __init__(self, folder, certs):
        super().__init__(folder)
        self.world = World(self)
        self.stop()
        self.port = free_ports(1)
        self.process = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{self.socket}",
             f"--remote=pssl:{self.port}:{ADDRESS}", *options(files(certs, "store")),
             f"--unixctl={self.folder}/db.ctl", "--no-chdir",
             f"--log-file={self.folder}/ovsdb-server.log", "-vconsole:off", str(self.db)])
        wait_for(self.ready, what="ovsdb-server")
        self.tls = f"ssl:{ADDRESS}:{self.port}"


@pytest.fixture(name="store", scope="module")
def fixture_store(tmp_path_factory, certs):
    store = TlsStore(tmp_path_factory.mktemp("store"), certs)
    yield store
    store.stop()


def connections(store, name):
    """Does the store serve somebody whose transactions say 'name'?"""
    return [row for row in store.rows("Host") if row["name"] == name and row["channel"]]


class Agent:
    def __init__(self, folder, store, name, tls):
        self.folder = pathlib.Path(folder)
        self.port = free_ports(2)
        self.log = self.folder / "agent.log"
        settings = {
            "name": name, "site": {"t1": "tokyo", "o1": "osaka"}[name], "store": store.tls,
            "address": ADDRESS, "channel": f"pssl:{self.port}:{ADDRESS}",
            "wan-address": "[198.18.1.2]", "router": "[198.18.1.1]",
            "run-dir": self.folder, "accel": "tcg", "qemu-user": "65534:65534",
            "image-dir": self.folder, "switch-db": f"unix:{self.folder}/no.sock",
            "switch-mgmt": f"unix:{self.folder}/no.mgmt", "memory": "1G", **tls}
        self.file = self.folder / "agent.yaml"
        self.settings = settings
        self.write()
        self.process = subprocess.Popen([
            BUILD / "watari-agent", f"--config={self.file}", f"--log-file={self.log}",
            "-vconsole:off"])

    def write(self, **new):
        self.settings.update(new)
        self.file.write_text("".join(f"{k}: {v}\n" for k, v in self.settings.items()))

    def counter(self, name):
        done = subprocess.run(["ovs-appctl", "-t", self.folder / "agent.ctl",
                               "watari/counters"], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        return None

    def says(self, text):
        return self.log.exists() and text in self.log.read_text()


@pytest.fixture(name="agent")
def fixture_agent(tmp_path, certs, store):
    agent = Agent(tmp_path, store, "t1", files(certs, "t1"))
    try:
        wait_for(lambda: agent.counter("refused") is not None, what="the channel")
        yield agent
    finally:
        stop(agent.process)


def shake(agent, tls=None, frames=False):
    """A connection to the agent's channel, with somebody's files or without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls:
        context.load_cert_chain(tls["certificate"], tls["private-key"])
    plain = socket.create_connection((ADDRESS, agent.port + frames), timeout=10)
    return context.wrap_socket(plain)


def hello(uuid):
    return json.dumps({"id": None, "method": "hello", "params": [{
        "version": 1, "oldest": 1, "features": [], "host": uuid, "name": "x",
        "boot": uuid, "frames_port": 1}]}).encode()


def answer(connection):
    """All that it says in a second; None if it ends the connection."""
    said = b""
    connection.settimeout(1)
    try:
        while True:
            piece = connection.recv(65536)
            if not piece:
                return None
            said += piece
    except (TimeoutError, socket.timeout):
        return said.decode()
    except (ssl.SSLError, ConnectionError):
        return None


def test_store_demands_certificates(certs, store):
    """The judge itself: without one, nobody comes in."""
    def ask(tls):
        return subprocess.run(["ovsdb-client", "-t3", *options(tls), "get-schema-version",
                               store.tls, "Watari"], capture_output=True, check=False).returncode

    assert ask(files(certs, "t1")) == 0
    foreign = {**files(certs, "t1", "theirs"), "ca-cert": certs / "ours/ca.crt"}
    assert ask(foreign) != 0


def test_agent_registers(agent, store):
    host = next(h for h in store.rows("Host") if h["name"] == "t1")
    assert host["channel"] == f"ssl:{ADDRESS}:{agent.port}"


def test_good_peer(agent, certs, store):
    with shake(agent, files(certs, "o1")) as connection:
        connection.sendall(hello(store.world.hosts["o1"]))
        said = answer(connection)
        assert said and store.world.hosts["t1"] in said
    assert agent.counter("refused") == 0


def test_bad_peers(agent, certs, store):
    o1, before = store.world.hosts["o1"], agent.counter("refused")

    def refused(sentence):
        nonlocal before
        wait_for(lambda: agent.counter("refused") > before, what="a refusal")
        before = agent.counter("refused")
        wait_for(lambda: agent.says(sentence), what=sentence)
        wait_for(lambda: any(sentence in row["text"] for row in store.rows("Event")),
                 what="an event")

    # Another host's certificate.
    with shake(agent, files(certs, "t1")) as connection:
        connection.sendall(hello(o1))
        assert answer(connection) is None
    refused('the certificate of "t1" is not that of host "o1"')

    # The same for frames.
    with shake(agent, files(certs, "manager"), frames=True) as connection:
        connection.sendall(bytes([0, 0, 0, 24, 1, 0, 0, 0])
                           + bytes.fromhex(o1.replace("-", "")) + bytes(4))
        assert answer(connection) is None
    refused('the certificate of "manager" is not that of host "o1"')

    # A host that the store does not know.
    with shake(agent, files(certs, "store")) as connection:
        connection.sendall(hello("0000cccc-0000-4000-8000-000000000001"))
        assert answer(connection) is None
    refused('"store" says that it is a host that the store does not know')

    # None, a foreign one, no TLS; the handshake's end is seen with the first answer.
    for tls in None, files(certs, "o1", "theirs"):
        try:
            with shake(agent, tls) as connection:
                connection.sendall(hello(o1))
                assert answer(connection) is None
        except (ssl.SSLError, ConnectionError):
            pass
        refused("its certificate is missing, has expired or is of another CA")
    with socket.create_connection((ADDRESS, agent.port), timeout=10) as connection:
        connection.sendall(hello(o1))
        answer(connection)
    refused("no TLS")


def example(name):
    """A message's example in docs/channel.md."""
    text = (pathlib.Path(__file__).parent.parent / "docs/channel.md").read_text()
    return json.loads(text.split(f"### `{name}`\n")[1].split("```json\n")[1].split("```")[0])


def test_good_peers_overstep(agent, certs, store):
    """o1 is who it says it is; what it asks for is not its to ask."""
    o1, nic = store.world.hosts["o1"], store.world.interface
    store.update("Interface", nic, hosts=["uuid", store.world.hosts["t1"]])

    def refused(sentence):
        sentence = f'refused of host "o1": {sentence}'
        wait_for(lambda: agent.says(sentence), what=sentence)
        wait_for(lambda: any(sentence in row["text"] for row in store.rows("Event")),
                 what="an event")

    def say(name):
        return json.dumps({"id": None, "method": name, "params": [example(name)]}).encode()

    # A QEMU for a VM of which the store says nothing, and then its grant.
    with shake(agent, files(certs, "o1")) as connection:
        connection.sendall(hello(o1) + say("grant") + say("prepare"))
        said = answer(connection)
        assert '"refused"' in said and '"prepared"' not in said
        refused("a grant for a migration that it does not drive")
    assert not [entry for entry in agent.folder.rglob("*") if "qmp" in entry.name]

    # A frame for a VM that it does not have.
    def record(kind, about, payload=b""):
        body = bytes([kind, 0, 0, 0]) + bytes.fromhex(about.replace("-", "")) + bytes(4) + payload
        return len(body).to_bytes(4, "big") + body

    with shake(agent, files(certs, "o1"), frames=True) as connection:
        connection.sendall(record(1, o1) + record(5, nic, bytes(64)))
        refused("late frames for a VM that it does not have")


def test_rotation(agent, certs, store):
    """A reload brings the new certificate to those who connect from then on."""
    def serial():
        with shake(agent, files(certs, "o1")) as connection:
            der = connection.getpeercert(binary_form=True)
        return der

    before = serial()
    pki("rotate", certs / "ours", "t1", "--days", 20)
    assert serial() == before
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: serial() != before, what="the new certificate")
    assert agent.says("expires in 19 days") or agent.says("expires in 20 days")

    # A file in which anything is wrong changes nothing.
    after = serial()
    agent.write(certificate=certs / "ours/o1.crt")
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: agent.says("is not the key of"), what="the complaint")
    assert serial() == after


def test_store_is_foreign(tmp_path, certs, store):
    """An agent does not speak to a store of another CA."""
    agent = Agent(tmp_path, store, "o1", files(certs, "o1", "theirs"))
    try:
        wait_for(lambda: agent.says("SSL_connect"), what="a failed handshake")
        time.sleep(1)
        assert agent.counter("refused") is None         # It has not begun.
        assert not connections(store, "o1")
    finally:
        stop(agent.process)


@contextlib.contextmanager
def running_manager(folder, store, tls):
    """Yields the environment for a command line that talks to it over TCP."""
    port = free_ports(1)
    token = folder / "token"
    token.write_text("0123456789abcdef")
    settings = {"store": store.tls, "unix": folder / "manager.sock",
                "listen": f"{ADDRESS}:{port}", "token-file": token, **tls}
    file = folder / "manager.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    process = subprocess.Popen([BUILD / "watari-manager", f"--config={file}", "-vconsole:off"])
    try:
        env = {"WATARI": f"unix:{folder}/manager.sock"}
        wait_for(lambda: hosts(env) == {"t1", "o1"}, what="the manager")
        yield process, {"WATARI": f"https://{ADDRESS}:{port}", "WATARI_TOKEN": token.read_text(),
                        "WATARI_CA": str(tls["ca-cert"])}, port
    finally:
        stop(process)


def list_hosts(env):
    return subprocess.run([BUILD / "watari", "host", "list", "-o", "json"], text=True,
                          capture_output=True, check=False, env={**os.environ, **env})


def hosts(env):
    done = list_hosts(env)
    return done.returncode == 0 and {h["name"] for h in json.loads(done.stdout)}


def test_manager(tmp_path, certs, store):
    """It talks to the store with a certificate, and to users over TCP with the same."""
    with running_manager(tmp_path, store, files(certs, "manager")) as (process, env, port):
        assert hosts(env) == {"t1", "o1"}
        for change in ({"WATARI_CA": str(certs / "theirs/ca.crt")}, {"WATARI_CA": ""}):
            done = list_hosts({**env, **change})
            assert done.returncode == 1 and "is not the manager" in done.stderr, done
        assert list_hosts({**env, "WATARI_TOKEN": "wrong"}).returncode == 1
        assert list_hosts({**env, "WATARI": f"http://{ADDRESS}:{port}"}).returncode == 1

        # A reload brings the new certificate; who is connected stays so.
        def connect():
            context = ssl.create_default_context(cafile=certs / "ours/ca.crt")
            context.check_hostname = False
            return http.client.HTTPSConnection(ADDRESS, port, timeout=10, context=context)

        def status(connection):
            connection.request("GET", "/api/v1/hosts",
                               headers={"Authorization": f"Bearer {env['WATARI_TOKEN']}"})
            response = connection.getresponse()
            response.read()
            return response.status

        def serial():
            with contextlib.closing(connect()) as connection:
                connection.connect()
                return connection.sock.getpeercert()["serialNumber"]

        with contextlib.closing(connect()) as old:
            assert status(old) == 200
            before = serial()
            pki("rotate", certs / "ours", "manager")
            assert serial() == before
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: serial() != before, what="the new certificate")
            assert status(old) == 200
        assert hosts(env) == {"t1", "o1"}


def test_manager_is_an_agent(tmp_path, certs, store):
    """Whoever took over a host cannot pose as the manager."""
    with running_manager(tmp_path, store, files(certs, "t1")) as (_, env, _):
        assert "is not the manager" in list_hosts(env).stderr


def test_no_plain_http_for_others(tmp_path):
    """Neither as a setting nor by a socket that somebody else has opened."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef")
    command = [BUILD / "watari-manager", "--store=unix:x", f"--token-file={token}",
               "--unixctl=none", "-vconsole:off"]
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        for option, status in (("--listen=192.0.2.9:7480", 2),
                               (f"--listen-fd={sock.fileno()}", 1)):
            done = subprocess.run([*command, option], capture_output=True, text=True, timeout=10,
                                  check=False, pass_fds=[sock.fileno()])
            assert done.returncode == status and "for this machine only" in done.stderr, done


# Settings.

@pytest.mark.parametrize("change, complaint", [
    ({"certificate": None}, "are needed together"),
    ({"private-key": "{}/ours/o1.key"}, "is not the key of"),
    ({"ca-cert": "{}/theirs/ca.crt"}, "was not signed by"),
    ({"name": "o1"}, 'names "t1" instead of "o1"'),
    ({"private-key": "{}/nothing.key"}, "No such file"),
    ({"channel": "ptcp:6650:127.0.0.1"}, "with a certificate it is pssl:"),
    ({"private-key": None, "certificate": None, "ca-cert": None},
     '"store" is ssl:127.0.0.1:1, which needs'),
])
def test_check_config(tmp_path, certs, change, complaint):
    settings = {"name": "t1", "site": "tokyo", "store": f"ssl:{ADDRESS}:1", "address": ADDRESS,
                "wan-address": "[198.18.1.2]", "router": "[198.18.1.1]", "image-dir": tmp_path,
                "qemu-user": "65534:65534", **files(certs, "t1")}
    file = tmp_path / "agent.yaml"

    def check():
        file.write_text("".join(f"{k}: {v}\n" for k, v in settings.items() if v))
        return subprocess.run([BUILD / "watari-agent", "--check-config", f"--config={file}"],
                              text=True, capture_output=True, check=False)

    done = check()
    assert done.returncode == 0, done.stderr
    settings.update({k: v and v.format(certs) for k, v in change.items()})
    done = check()
    assert done.returncode == 2 and complaint in done.stderr


def test_key_that_others_can_read(tmp_path, certs):
    key = tmp_path / "t1.key"
    key.write_bytes((certs / "ours/t1.key").read_bytes())
    key.chmod(0o644)
    tls = {**files(certs, "t1"), "private-key": key}
    done = subprocess.run([BUILD / "watari-manager", f"--store=ssl:{ADDRESS}:1",
                           f"--unix={tmp_path}/x", *options(tls)], text=True,
                          capture_output=True, check=False, timeout=10)
    assert done.returncode == 2 and "chmod 600" in done.stderr


# A lab.

SITES = """
sites:
  tokyo: { wan: 198.18.1.0/24, pool: 198.18.1.100-198.18.1.199, hosts: [t1] }
  osaka: { wan: 198.18.2.0/24, pool: 198.18.2.100-198.18.2.199, hosts: [o1] }
networks:
  blue: { prefix: 10.255.0.0/24, gateway: 10.255.0.254, mode: rewrite }
vms:
  web1: { host: t1, network: blue, address: 10.255.0.11, memory: 128M, image: mini }
"""


@pytest.fixture(name="lab", scope="module")
def fixture_lab(make_module_lab):
    lab = make_module_lab("test-tls", SITES, "--tls")
    yield lab
    lab("lab", "down", lab.lab)
    assert leftovers(lab.lab) == []


def test_lab(lab):
    """Its programs use certificates of its own, and nobody but root can read the keys."""
    rows = {(row["node"], row["part"]): row["tls"] for row in lab.json("lab", "status")
            if row["lab"] == lab.lab}
    assert {part for part, tls in rows.items() if tls} == {
        ("store", "store"), ("manager", "manager"), ("t1", "agent"), ("o1", "agent")}
    folder = RUN / lab.lab / "pki"
    assert folder.stat().st_mode & 0o777 == 0o700
    keys = list(folder.glob("*.key"))
    assert len(keys) == 5 and {key.stat().st_mode & 0o777 for key in keys} == {0o600}
    for host in lab.json("host", "list"):
        assert host["channel"].startswith("ssl:"), host
    # The store, from a host's namespace, with and without a certificate.
    for tls, status in ([f"--{key}={value}" for key, value in {
            "private-key": folder / "t1.key", "certificate": folder / "t1.crt",
            "ca-cert": folder / "ca.crt"}.items()], 0), ([], 1):
        remote = f"{'ssl' if tls else 'tcp'}:198.19.0.250:6640"
        done = lab.run("lab", "exec", "t1", "--", "ovsdb-client", "-t3", *tls,
                       "get-schema-version", remote, "Watari")
        assert (done.returncode != 0) == status, (remote, done.stderr)


def test_lab_move(lab):
    """QEMU takes the guest from its host only, and encrypted; told over TCP, by HTTPS."""
    state = json.loads((RUN / lab.lab / "state.json").read_text())
    env = {"WATARI": f"https://{state['listen']}", "WATARI_CA": str(RUN / lab.lab / "pki/ca.crt"),
           "WATARI_TOKEN": (RUN / lab.lab / "token").read_text()}
    move = Watari().json("vm", "migrate", "web1", "--to", "o1", env=env)
    assert move["result"] == "completed", move
    assert only_copy(lab, "web1") == "o1"
    destination = monitors(lab, "web1")[0]
    settings = destination.ask("info migrate_parameters", "tls-authz")
    assert "tls-creds: 'tls0'" in settings and "tls-authz: 'peer0'" in settings, settings
    assert destination.ask("qom-get /objects/peer0 identity", '"CN=t1"')
    # The key that it had is nowhere any more.
    assert not list(RUN.glob(f"{lab.lab}/*/vms/*/tls"))
