"""What all system tests share: the programs, and labs that are taken down."""
import contextlib
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WATARI_BUILD", ROOT / "build")).resolve()
RUN = pathlib.Path("/run/watari")


class Watari:
    """The command line."""

    def __init__(self, lab=None):
        self.program = BUILD / "watari"
        self.lab = lab

    def run(self, *args, timeout=300, env=None):
        """Runs a command; the result has returncode, stdout and stderr."""
        lab = ["--lab", self.lab] if self.lab else []
        return subprocess.run([self.program, *lab, *map(str, args)], text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env={**os.environ, **(env or {})})

    def __call__(self, *args, **options):
        """Runs a command that has to succeed; returns its output."""
        result = self.run(*args, **options)
        assert result.returncode == 0, f"watari {args}: {result.stdout}{result.stderr}"
        return result.stdout

    def json(self, *args, **options):
        return json.loads(self(*args, "-o", "json", **options))

    def python(self, node, script, *args):
        """Runs a Python script of this folder in a node's namespace."""
        return self("lab", "exec", node, "--", "/usr/bin/python3",
                    ROOT / "tests" / script, *args)


def needs_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


def build_has(*programs):
    return all(any(BUILD.glob(f"src/*/{name}")) or (BUILD / name).exists() for name in programs)


@pytest.fixture
def watari():
    return Watari()


@contextlib.contextmanager
def lab_maker(folder):
    """make(name, text, *options) brings a lab up; all are taken down at the end."""
    labs = []

    def make(name, text, *options):
        needs_root()
        path = folder / f"{name}.yaml"
        path.write_text(f"lab: {name}\n{text}")
        labs.append(name)
        Watari()("lab", "up", path, *options)
        return Watari(name)

    try:
        yield make
    finally:
        for name in labs:
            Watari().run("lab", "down", name)


@pytest.fixture
def make_lab(tmp_path):
    """Makes labs for one test."""
    with lab_maker(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def make_module_lab(tmp_path_factory):
    """Makes labs that all tests of a file share."""
    with lab_maker(tmp_path_factory.mktemp("labs")) as make:
        yield make


DEATHS = ("general protection fault", "kernel BUG", "Oops", "Kernel panic",
          "unable to handle page fault", "list_add corruption", "list_del corruption")


def dead_guests():
    """What the consoles of labs' guests say about their kernels' death."""
    for console in RUN.glob("*/*/vms/*/io/console.log"):
        for line in console.read_text(errors="replace").splitlines():
            if any(death in line for death in DEATHS):
                yield f"{console}: {line}"
                break


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure while a guest's kernel has died is told from others, see tools/check."""
    report = (yield).get_result()
    if report.failed:
        for text in dead_guests():
            report.sections.append(("dead guest", text))
            item.user_properties.append(("dead guest", text))


def leftovers(lab):
    """What a lab that is down has left behind."""
    found = [f"namespace {name}" for name in os.listdir("/run/netns")
             if name.startswith(f"watari-{lab}-")] if os.path.isdir("/run/netns") else []
    if (RUN / lab).exists():
        found.append(f"folder {RUN / lab}")
    for proc in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (proc / "cmdline").read_bytes().split(b"\0")
            words.append(os.readlink(proc / "cwd").encode())
        except OSError:
            continue
        if any(word.startswith(f"{RUN / lab}/".encode()) for word in words):
            found.append(f"process {proc.name}: {b' '.join(words).decode()}")
    return found
