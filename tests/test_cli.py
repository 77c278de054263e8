"""The command line, against a manager that is not real."""
import json
import subprocess

import pytest

from conftest import ROOT, Watari
from fake_manager import COMPLETED, UUID, FakeManager, migration

VM = {"uuid": UUID, "name": "web1", "host": "t1", "site": "tokyo", "state": "running",
      "power": "running", "reason": None, "memory_mib": 256, "vcpus": 1, "image": "mini",
      "network": "blue", "address": "10.255.0.11", "address6": None, "mac": "52:54:00:00:00:01",
      "mobile": "198.18.1.100", "mobile6": None}


@pytest.fixture
def manager(tmp_path):
    fake = FakeManager(tmp_path / "manager.sock")
    fake.answer("GET", "/vms", [VM, {**VM, "name": "web2", "host": None, "state": "pending"}])
    fake.answer("GET", "/vms/web1", VM)
    yield fake
    fake.close()


@pytest.fixture
def cli(manager):
    def run(*args):
        return Watari().run(*args, env={"WATARI": f"unix:{manager.path}"})
    return run


def test_list(cli):
    lines = cli("vm", "list").stdout.splitlines()
    assert lines[0].split()[:4] == ["NAME", "HOST", "SITE", "STATE"]
    assert "ADDRESS6" not in lines[0]       # Nobody has one.
    assert lines[2].split()[:4] == ["web2", "-", "tokyo", "pending"]
    assert cli("list").stdout.splitlines() == lines


def test_list_json(cli):
    result = cli("vm", "list", "-o", "json")
    assert json.loads(result.stdout)[0] == VM
    assert result.stderr == ""
    assert json.loads(cli("list", "-o=json").stdout) == json.loads(result.stdout)


def test_yaml(cli, manager):
    yaml = pytest.importorskip("yaml")
    tricky = {"name": "yes", "a": [], "b": {}, "c": [{"x": 1, "y": [2, "3: #"]}, {"z": None}],
              "d": {"e": {"f": True}}, "g": "line\nbreak \"quoted\""}
    manager.answer("GET", "/vms", [tricky])
    assert yaml.safe_load(cli("vm", "list", "-o", "yaml").stdout) == [tricky]
    manager.answer("GET", "/vms", [])
    assert yaml.safe_load(cli("vm", "list", "-o", "yaml").stdout) == []


def test_show(cli):
    lines = dict(line.split(None, 1) for line in cli("vm", "show", "web1").stdout.splitlines())
    assert lines["name"] == "web1" and lines["memory_mib"] == "256" and lines["reason"] == "-"


def test_show_unknown(cli):
    result = cli("vm", "show", "nobody")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "watari: there is nothing at /api/v1/vms/nobody\n"


@pytest.mark.parametrize("noun,path", [
    ("site", "sites"), ("host", "hosts"), ("network", "networks"), ("endpoint", "endpoints"),
    ("service", "services"), ("migration", "migrations"), ("policy", "policies"),
    ("event", "events")])
def test_nouns(cli, manager, noun, path):
    manager.answer("GET", f"/{path}", [])
    assert json.loads(cli(noun, "list", "-o", "json").stdout) == []
    manager.answer("GET", f"/{path}/x", {"name": "x"})
    assert json.loads(cli(noun, "show", "x", "-o", "json").stdout) == {"name": "x"}


def migrate(cli, manager, events, *options):
    manager.answer("POST", "/vms/web1/migrations", migration("requested", "check"), 202)
    manager.answer("GET", f"/migrations/{UUID}", migration("running", "check"))
    manager.events = [("hello", {})] + [("migration", event) for event in events]
    return cli("vm", "migrate", "web1", "--to", "o1", *options)


def test_migrate(cli, manager):
    steps = [migration(step=step) for step in
             ("check", "reserve", "listen", "move", "announce", "release")]
    other = {**migration("failed"), "uuid": UUID.replace("7", "8")}
    result = migrate(cli, manager, [other, *steps, COMPLETED])
    assert result.returncode == 0, result.stderr
    assert result.stdout == "web1: t1 -> o1 in 2346 ms, stopped for 7.9 ms\n"
    phases = [line.split(": ")[1] for line in result.stderr.splitlines()]
    assert phases == ["check", "prepare", "move", "resume", "release"]
    assert ("POST", "/api/v1/vms/web1/migrations", {"to": "o1", "options": {}}) in manager.requests


def test_migrate_json(cli, manager):
    result = migrate(cli, manager, [migration(), COMPLETED], "-o", "json", "--wait")
    assert result.returncode == 0 and result.stderr == ""
    document = json.loads(result.stdout)
    for name in ("vm", "from", "to", "error", "total_ms", "blackout_ms", "blackout_error_ms",
                 "bytes", "relayed_packets", "phases"):
        assert document[name] == COMPLETED[name]
    assert document["result"] == "completed"


@pytest.mark.parametrize("state", ["rolled-back", "failed", "stuck"])
def test_migrate_fails(cli, manager, state):
    end = migration(state, error="not enough memory")
    result = migrate(cli, manager, [end])
    assert result.returncode == 1
    assert f"migration of web1: {state}: not enough memory" in result.stderr
    result = migrate(cli, manager, [end], "-o", "json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["result"] == state
    assert json.loads(result.stdout)["error"] == "not enough memory"


def test_migrate_refused(cli, manager):
    manager.problem("POST", "/vms/web1/migrations", 409, 'VM "web1" is on host "o1" already')
    result = cli("vm", "migrate", "web1", "--to", "o1", "-o", "json")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == 'watari: VM "web1" is on host "o1" already\n'


def test_migrate_ends_before_stream(cli, manager):
    """The end is not in the stream if it came before the stream began."""
    manager.answer("POST", "/vms/web1/migrations", migration("requested", "check"), 202)
    states = [migration(), COMPLETED]
    manager.answer("GET", f"/migrations/{UUID}", lambda: states.pop(0) if len(states) > 1
                   else states[0])
    manager.events = [("hello", {})]
    assert cli("vm", "migrate", "web1", "--to", "o1").returncode == 0


def test_migrate_stream_breaks(cli, manager):
    """A manager may be replaced by another one meanwhile."""
    manager.hold = False
    manager.answer("POST", "/vms/web1/migrations", migration("requested", "check"), 202)
    states = [migration(), migration(), migration(), COMPLETED]
    manager.answer("GET", f"/migrations/{UUID}", lambda: states.pop(0) if len(states) > 1
                   else states[0])
    assert cli("vm", "migrate", "web1", "--to", "o1").returncode == 0


def test_migrate_detach(cli, manager):
    result = migrate(cli, manager, [], "--detach")
    assert result.returncode == 0
    assert result.stdout == f"{UUID}\n"


def test_migrate_limits(cli, manager):
    migrate(cli, manager, [COMPLETED], "--bandwidth", "80mbit", "--downtime=20")
    assert ("POST", "/api/v1/vms/web1/migrations",
            {"to": "o1", "options": {"bandwidth": 10000000, "downtime_ms": 20}}) in manager.requests


@pytest.mark.parametrize("options", [
    [], ["--to"], ["--to", "o1", "--bandwidth", "fast"], ["--to", "o1", "--downtime", "0"],
    ["--to", "o1", "web2"], ["--two", "o1"], ["--to", "o1", "-o", "xml"], ["--to", "o1", "-x"],
    ["--to", "o1", "--detach=1"]])
def test_usage(cli, manager, options):
    result = cli("vm", "migrate", "web1", *options)
    assert result.returncode == 2
    assert result.stdout == "" and result.stderr
    assert manager.requests == []


@pytest.mark.parametrize("words,complaint", [
    ([], "a command is missing"), (["vm", "migrat"], 'did you mean "migrate"'),
    (["vmm", "list"], 'did you mean "vm"'), (["xyzzy"], 'no command "xyzzy"'),
    (["vm", "list", "--ouput"], "no option --ouput"),
    (["migration", "cancel"], "too few arguments"),
    (["vm", "list", "x"], "one argument too many")])
def test_wrong_command(cli, words, complaint):
    result = cli(*words)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_cancel(cli, manager):
    manager.answer("POST", f"/migrations/{UUID}/cancel", migration(), 202)
    assert cli("migration", "cancel", UUID).returncode == 0


def test_start_stop_delete(cli, manager):
    stopped = {**VM, "state": "stopped"}
    manager.answer("POST", "/vms/web1/start", VM)
    assert cli("vm", "start", "web1").returncode == 0
    manager.answer("POST", "/vms/web1/stop", stopped)
    manager.answer("GET", "/vms/web1", stopped)
    assert cli("vm", "stop", "web1").returncode == 0
    manager.answer("DELETE", "/vms/web1", None, 204)
    assert cli("vm", "delete", "web1").returncode == 0
    assert ("DELETE", "/api/v1/vms/web1", None) in manager.requests


def test_create(cli, manager):
    manager.answer("POST", "/vms", VM, 201)
    result = cli("vm", "create", "web1", "--host", "t1", "--network", "blue", "--address",
                 "10.255.0.11", "--memory", "128M")
    assert result.returncode == 0, result.stderr
    assert manager.requests[0] == ("POST", "/api/v1/vms", {
        "name": "web1", "host": "t1", "network": "blue", "address": "10.255.0.11",
        "memory": "131072K", "vcpus": 1})
    assert cli("vm", "create", "web1", "--host", "t1").returncode == 2


def test_apply(cli, manager):
    manager.answer("PUT", "/config", {"result": "applied"})
    assert cli("apply", ROOT / "examples/two-sites.yaml").returncode == 0
    method, path, body = manager.requests[0]
    assert (method, path) == ("PUT", "/api/v1/config")
    assert body["sites"]["tokyo"] == {
        "wan": "198.18.1.0/24", "wan6": "2001:db8:1::/64", "pool": "198.18.1.100-198.18.1.199",
        "pool6": "2001:db8:1::100-2001:db8:1::1ff", "hosts": ["t1", "t2"]}
    assert body["vms"]["web1"] == {
        "host": "t1", "network": "blue", "address": "10.255.0.11", "address6": "fd00:255::11",
        "memory": "262144K", "vcpus": 1, "image": "mini"}
    assert body["networks"]["blue"]["gateway6"] == "fd00:255::fffe"


def test_follow_events(cli, manager):
    manager.hold = False
    manager.events = [("hello", {}), ("vm", VM), ("event", {
        "uuid": UUID, "time": 1700000000123, "kind": "vm", "object": "web1", "host": "t1",
        "text": "started"})]
    lines = cli("event", "list", "--follow").stdout.splitlines()
    assert len(lines) == 1
    assert ".123" in lines[0] and lines[0].endswith("started")


def test_no_system(tmp_path):
    result = Watari().run("list", env={"WATARI": f"unix:{tmp_path}/nothing"})
    assert result.returncode == 1
    assert "does not answer" in result.stderr
    result = Watari().run("list", env={"WATARI": "nowhere"})
    assert result.returncode == 1
    assert "unix:PATH" in result.stderr


def test_help():
    top = Watari()("--help")
    for line in top.splitlines():
        if not line.startswith("  ") or line.strip().startswith("-"):
            continue
        words = [word for word in line.split("  ")[1].split()]
        command = [word for word in words[:2] if word.islower() and word.isalpha()]
        if command == ["bench"]:            # A program of its own.
            continue
        text = Watari()(*command, "--help")
        assert text.startswith(f"usage: watari {' '.join(command)}")
    assert "--bandwidth RATE" in Watari()("vm", "migrate", "--help")
    assert "clone" not in top and "only-network" not in top


def test_version():
    assert Watari()("--version").startswith("watari 0.")


def test_completion(tmp_path):
    script = tmp_path / "completion"
    script.write_text(Watari()("--completion"))
    result = subprocess.run(
        ["bash", "-c", f". {script}; COMP_WORDS=(watari vm mi); COMP_CWORD=2; _watari; "
         "echo ${COMPREPLY[@]}; COMP_WORDS=(watari vm migrate x --do); COMP_CWORD=4; _watari; "
         "echo ${COMPREPLY[@]}"], capture_output=True, text=True, check=True)
    assert result.stdout == "migrate\n--downtime\n", result.stderr


def test_manual():
    """Every command and every key of lab files is in a manual page."""
    text = Watari()("--manual").replace("\\-", "-")
    for command in "vm migrate", "lab up", "event list", "apply":
        assert f'.SS "watari {command}' in text
    assert "--bandwidth" in text
    text = Watari()("--manual-lab")
    for key in "sites", "pool6", "delay", "encap", "memory":
        assert f".B {key}\n" in text
