"""Units of systemd, for tests: read, and run without systemd.

As a program this plays "systemctl" in a namespace that has no systemd:

    unitkit.py daemon-reload | enable [--now] UNIT | start|stop|restart|reload|status UNIT

A unit's ExecStart runs as its user, with its environment files and with no more capabilities
than it allows.  What KillMode=process promises is kept: only the main process is ended.
"""
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

STATE = pathlib.Path("/run/units")
FOLDERS = "/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"


class Unit:
    """A unit file: the values of its keys, whatever their sections."""

    def __init__(self, path):
        self.values = {}
        text = pathlib.Path(path).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith(("#", ";")):
                self.values.setdefault(key.strip(), []).append(value.strip())

    def all(self, key):
        return self.values.get(key, [])

    def get(self, key, default=None):
        return self.values.get(key, [default])[-1]

    def environment(self):
        env = dict(word.split("=", 1) for line in self.all("Environment")
                   for word in shlex.split(line))
        for file in self.all("EnvironmentFile"):
            path = pathlib.Path(file.lstrip("-"))
            if path.exists() or not file.startswith("-"):
                for line in path.read_text().splitlines():
                    key, equals, value = line.partition("=")
                    if equals and not line.lstrip().startswith("#"):
                        env[key.strip()] = value.strip().strip('"')
        return env

    def words(self, command, env):
        """Words of a command: "$NAME" alone may become several, as in systemd.service(5)."""
        words = []
        for word in shlex.split(command):
            words += shlex.split(env.get(word[1:], "")) if word[0] == "$" else [word]
        return words

    def restrict(self):
        """The beginning of a command that takes away what the unit does not allow."""
        words = ["setpriv"]
        user = self.get("User")
        if user:
            words += [f"--reuid={user}", f"--regid={self.get('Group', user)}", "--init-groups"]
        if "CapabilityBoundingSet" in self.values:
            caps = self.get("CapabilityBoundingSet").lower().replace("cap_", "").split()
            words += ["--bounding-set", ",".join(["-all", *(f"+{cap}" for cap in caps)])]
        if self.get("NoNewPrivileges") == "yes":
            words += ["--no-new-privs"]
        return words + ["--"]


def find(name):
    for folder in FOLDERS:
        path = pathlib.Path(folder) / f"{name.removesuffix('.service')}.service"
        if path.exists():
            return Unit(path)
    sys.exit(f"systemctl: there is no unit {name}")


def pid_file(name):
    return STATE / f"{name.removesuffix('.service')}.pid"


def main_pid(name):
    """The main process of a unit that runs; None if it does not."""
    try:
        pid = int(pid_file(name).read_text())
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return pid if state != "Z" else None
    except (FileNotFoundError, ValueError):
        return None


def start(name):
    if main_pid(name):
        return
    unit = find(name)
    for path in unit.all("AssertPathExists"):
        if not os.path.exists(path):
            sys.exit(f"systemctl: {name}: there is no {path}")
    for required in unit.get("Requires", "").split():
        start(required)
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", **unit.environment()}
    command = unit.words(unit.get("ExecStart"), env)
    with open(STATE / f"{name.removesuffix('.service')}.log", "ab") as log:
        process = subprocess.Popen([*unit.restrict(), *command], env=env, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True,
                                   umask=int(unit.get("UMask", "0022"), 8))
    if unit.get("Type") in ("oneshot", "forking"):
        if process.wait(60):
            sys.exit(f"systemctl: {name} has failed")
        return
    pid_file(name).write_text(str(process.pid))
    time.sleep(0.3)
    if process.poll() is not None:
        sys.exit(f"systemctl: {name} has ended with status {process.returncode}")


def stop(name):
    pid = main_pid(name)
    if pid:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            if not main_pid(name):
                break
            time.sleep(0.1)
        else:
            os.kill(pid, signal.SIGKILL)
    pid_file(name).unlink(missing_ok=True)


def reload(name):
    unit, pid = find(name), main_pid(name)
    if not pid:
        sys.exit(f"systemctl: {name} does not run")
    env = {**os.environ, **unit.environment(), "MAINPID": str(pid)}
    for command in unit.all("ExecReload"):
        if subprocess.run([*unit.restrict(), *unit.words(command, env)], env=env,
                          check=False).returncode:
            sys.exit(f"systemctl: {name} cannot reload")


def status(name):
    pid = main_pid(name)
    print(f"{name}: {f'active, process {pid}' if pid else 'inactive'}")
    if not pid:
        sys.exit(3)


def main(verb, *words):
    STATE.mkdir(exist_ok=True)
    names = [word for word in words if not word.startswith("-")]
    if verb == "enable":
        verb = "start" if "--now" in words else "daemon-reload"
    for name in names if verb != "daemon-reload" else ():
        if verb in ("stop", "restart"):
            stop(name)
        if verb in ("start", "restart"):
            start(name)
        if verb == "reload":
            reload(name)
        if verb == "status":
            status(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
