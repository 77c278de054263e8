"""What "make install" puts where, and that its parts agree with each other."""
import os
import re
import shlex
import shutil
import subprocess

import pytest

from conftest import BUILD
from unitkit import Unit

UNITS = "watari-agent", "watari-manager", "watari-store"


def install(folder):
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet"], check=True,
                   env={**os.environ, "DESTDIR": str(folder)}, stdout=subprocess.DEVNULL)


@pytest.fixture(name="dest", scope="module")
def fixture_dest(tmp_path_factory):
    if not (BUILD / "build.ninja").exists():
        pytest.skip("not a build folder")
    folder = tmp_path_factory.mktemp("dest")
    install(folder)
    return folder


@pytest.fixture(name="units", scope="module")
def fixture_units(dest):
    return {name: Unit(dest / f"usr/lib/systemd/system/{name}.service") for name in UNITS}


def program(dest, path):
    """Where a program of a unit is: installed by us, or by the distribution."""
    ours = dest / path.lstrip("/")
    return ours if ours.exists() else path


def test_files(dest):
    for path in ("usr/bin/watari", "usr/sbin/watari-agent", "usr/sbin/watari-manager",
                 "usr/libexec/watari/watari-watchdog", "usr/libexec/watari/watari-keeper",
                 "usr/share/watari/watari.ovsschema",
                 "usr/share/watari/mini/vmlinuz", "usr/share/man/man1/watari.1",
                 "usr/share/man/man8/watari-agent.8", "usr/share/man/man8/watari-manager.8",
                 "usr/share/man/man5/watari-lab.5", "etc/watari/agent.yaml",
                 "etc/watari/manager.yaml", "etc/watari/store.env",
                 "usr/share/bash-completion/completions/watari",
                 "usr/lib/sysusers.d/watari.conf", "usr/lib/tmpfiles.d/watari.conf"):
        assert (dest / path).is_file(), path


def test_configuration_is_not_overwritten(dest):
    ours = dest / "etc/watari/agent.yaml"
    before = ours.read_text()
    ours.write_text("name: mine\n")
    install(dest)
    assert ours.read_text() == "name: mine\n"
    assert (dest / "usr/share/doc/watari/examples/agent.yaml").read_text() == before
    ours.write_text(before)


def test_programs_and_options_exist(dest, units):
    for name, unit in units.items():
        commands = unit.all("ExecStart") + unit.all("ExecReload")
        assert unit.all("ExecStart"), name
        for command in commands:
            words = shlex.split(command)
            path = program(dest, words[0])
            assert os.access(path, os.X_OK), f"{name}: there is no {words[0]}"
            if words[0].endswith("kill"):
                continue
            text = subprocess.run([path, "--help"], text=True, capture_output=True,
                                  check=True).stdout
            known = set(re.findall(r"--[a-z0-9-]+", text))
            for word in words[1:]:
                if word.startswith("--"):
                    assert word.split("=")[0] in known, f"{name}: {word}"


def test_every_option_has_its_row_in_the_manual(dest):
    for name in "watari-agent", "watari-manager":
        text = subprocess.run([dest / f"usr/sbin/{name}", "--help"], text=True,
                              capture_output=True, check=True).stdout
        own = re.findall(r"^  --([a-z-]+)=", text.split("Daemon options")[0], re.M)
        page = (dest / f"usr/share/man/man8/{name}.8").read_text().replace("\\-", "-")
        assert len(own) > 5
        for option in own:
            assert f"--{option}=" in page, f"{name}: {option}"


def check_config(dest, name, file):
    return subprocess.run([dest / f"usr/sbin/watari-{name}", f"--config={file}",
                           "--check-config"], text=True, capture_output=True, check=False)


@pytest.mark.parametrize("name", ["agent", "manager"])
def test_examples_are_right(dest, name, tmp_path):
    example = dest / f"etc/watari/{name}.yaml"
    result = check_config(dest, name, example)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{example} is right\n"

    # Also what is commented out, as far as it does not name things of the machine.
    text = re.sub(r"^#((?!qemu-user)[a-z-]+: .*)", r"\1", example.read_text(), flags=re.M)
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    whole = tmp_path / "whole.yaml"
    for words in ["init"], ["issue", {"agent": "h1"}.get(name, name)]:
        subprocess.run([dest / "usr/bin/watari", "pki", words[0], tmp_path / "pki", *words[1:]],
                       check=True, stdout=subprocess.DEVNULL)
    text = text.replace("/etc/watari/token", str(token))
    whole.write_text(re.sub(r"/etc/watari/(.*\.(key|crt))", rf"{tmp_path}/pki/\1", text))
    assert whole.read_text().count("\n#") < example.read_text().count("\n#")
    result = check_config(dest, name, whole)
    assert (result.returncode, result.stderr) == (0, "")


def test_wrong_configuration(dest, tmp_path):
    """Each problem has a line, and all of them are said at once."""
    file = tmp_path / "agent.yaml"
    file.write_text("name: t1\nsit: tokyo\nstore: nowhere\naddress: 192.0.2.1\nmemory: lots\n"
                    "wan-address: [198.18.1.2, 198.18.1.3]\nrouter: 198.18.1.1\naccel: xen\n"
                    "channel: tcp:6650\nqemu-user: root\nlog: [info, loud]\n"
                    "image-dir: /nonexistent\n")
    result = check_config(dest, "agent", file)
    assert result.returncode == 2 and result.stdout == ""
    for line, words in ((2, 'did you mean "site"'), (3, "store:"), (5, "memory:"),
                        (6, "second IPv4"), (7, "expected a list"), (8, "auto, kvm, tcg"),
                        (9, "channel:"), (10, "root"), (11, "loud"), (12, "/nonexistent")):
        assert re.search(rf"^{re.escape(str(file))}:{line}:\d+: .*{re.escape(words)}",
                         result.stderr, re.M), (line, words, result.stderr)

    file.write_text("name: t1\nstore: tcp:192.0.2.9:6640\n")
    result = check_config(dest, "agent", file)
    assert result.returncode == 2
    for key in "site", "address", "wan-address", "router":
        assert f'"{key}" is missing' in result.stderr

    file.write_text(f"store: tcp:192.0.2.9:6640\nlisten: 192.0.2.9\ntoken-file: {tmp_path}/no\n")
    result = check_config(dest, "manager", file)
    assert result.returncode == 2
    assert f"{file}:2:9: listen:" in result.stderr
    assert f"{file}:3:13: token-file: {tmp_path}/no: No such file" in result.stderr

    result = check_config(dest, "manager", tmp_path / "none.yaml")
    assert result.returncode == 2 and "none.yaml: No such file" in result.stderr


def test_users_and_folders(dest, units):
    """Units name users that sysusers makes, and folders that tmpfiles makes."""
    users = set(re.findall(r"^u\s+(\S+)",
                           (dest / "usr/lib/sysusers.d/watari.conf").read_text(), re.M))
    folders = re.findall(r"^d\s+(\S+)\s+\S+\s+(\S+)",
                         (dest / "usr/lib/tmpfiles.d/watari.conf").read_text(), re.M)
    assert {owner for _, owner in folders} <= users | {"root"}
    for name, unit in units.items():
        assert unit.get("User", "root") in users | {"root"}
        for path in unit.get("ReadWritePaths", "").split():
            assert path.startswith("-") or path in dict(folders), f"{name}: {path}"
    assert "watari-qemu" in users       # The agent's default.


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("systemd-sysusers"),
                    reason="needs root and systemd's tools")
def test_users_and_folders_can_be_made(dest, tmp_path):
    (tmp_path / "etc").mkdir()
    for kind in "sysusers", "tmpfiles":
        shutil.copytree(dest / f"usr/lib/{kind}.d", tmp_path / f"usr/lib/{kind}.d")
    for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
        result = subprocess.run([*command, f"--root={tmp_path}", "watari.conf"], text=True,
                                capture_output=True, check=False)
        assert result.returncode == 0, result.stderr
    passwd = {line.split(":")[0]: line.split(":")
              for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    store = (tmp_path / "var/lib/watari/store").stat()
    assert store.st_uid == int(passwd["watari-store"][2]) and store.st_mode & 0o777 == 0o750
    assert (tmp_path / "run/watari/manager").stat().st_uid == int(passwd["watari-manager"][2])


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd's tools")
def test_systemd_understands_the_units(dest, units, tmp_path):
    for name in units:
        text = (dest / f"usr/lib/systemd/system/{name}.service").read_text()
        # Programs are looked for where this machine does not have them.
        text = text.replace("=/usr/sbin/watari", f"={dest}/usr/sbin/watari")
        (tmp_path / f"{name}.service").write_text(text)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.glob("*.service")], text=True,
        capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_no_unit_has_more_than_it_needs(units):
    for name, unit in units.items():
        assert unit.get("NoNewPrivileges") == "yes", name
        assert unit.get("ProtectSystem") == "strict", name
        assert unit.get("Restart") == "always", name
        assert unit.get("SystemCallErrorNumber") == "EPERM", name   # Nobody is killed by it.
        if name != "watari-agent":
            assert unit.get("CapabilityBoundingSet") == "", name
            assert unit.get("User"), name
    agent = units["watari-agent"]
    assert agent.get("KillMode") == "process"
    assert not {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_SETPCAP"} & set(
        agent.get("CapabilityBoundingSet").split())


def test_documentation_links(dest):
    """Manuals that units name are installed, by us or by the distribution."""
    for name in UNITS:
        unit = Unit(dest / f"usr/lib/systemd/system/{name}.service")
        for page, section in re.findall(r"man:([\w-]+)\((\d)\)", unit.get("Documentation")):
            ours = dest / f"usr/share/man/man{section}/{page}.{section}"
            assert ours.exists() or not page.startswith("watari"), f"{name}: {page}"
