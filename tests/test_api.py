"""The REST API: a real manager before a real store, without agents."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from apikit import (CONFIG, PROGRAM, TOKEN, Manager, fixture_applied, fixture_manager,
                    fixture_running, fixture_store, free_port)
from storekit import Store, stop, wait_for


# What is there.

def test_empty_lists(manager):
    for kind in ("sites", "hosts", "networks", "vms", "endpoints",
                 "bindings", "services", "migrations", "policies", "events",
                 "links"):
        assert manager.get(f"/{kind}") == (200, [])
        assert manager.get(f"/{kind}/nothing")[0] == 404


def test_manager_makes_the_global_row(store, manager):
    wait_for(lambda: store.rows("Global"), what="the Global row")
    assert manager.get("/status")[1]["epoch"] == 1


def test_openapi(manager):
    """The document is OpenAPI, and each of its routes exists."""
    status, document = manager.get("/openapi.json")
    assert status == 200 and document["openapi"].startswith("3.1")
    ids = set()
    n_checked = 0
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert method in ("get", "put", "post", "delete")
            ids.add(operation["operationId"])
            assert operation["summary"]
            assert ("{" in path) == bool(operation["parameters"])
            good = [s for s in operation["responses"] if s != "default"]
            assert len(good) == 1 and 200 <= int(good[0]) < 300
            schema = (operation.get("requestBody", {}).get("content", {})
                      .get("application/json", {}).get("schema"))
            if schema:
                assert schema["type"] == "object" and schema["properties"]
            status, answer = manager.call(
                method.upper(), path.replace("{name}", "no-such-thing"),
                body={} if schema else None)
            n_checked += 1
            if "{" in path and "services" not in path:
                assert status == 404 or schema, (method, path, answer)
                assert "nothing at" not in answer["detail"]
            else:
                assert status in (200, 404, 422), (method, path, answer)
    assert len(ids) == n_checked >= 30
    kinds = {path.split("/")[3] for path in document["paths"]}
    assert kinds >= {"sites", "hosts", "networks", "vms", "endpoints",
                     "bindings", "services", "migrations", "policies",
                     "events", "links", "config"}


# The wire.

def test_token(manager):
    assert manager.call_tcp("GET", "/vms")[0] == 401
    assert manager.headers["WWW-Authenticate"] == "Bearer"
    for header in ("", "Bearer", "Bearer ", "Bearer x", f"Bearer {TOKEN}x",
                   f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN):
        status, _ = manager.call_tcp("GET", "/vms",
                                     headers={"Authorization": header})
        assert status == 401, header
    assert manager.call_tcp("PUT", "/config", {})[0] == 401
    assert manager.call_tcp(
        "GET", "/vms", headers={"Authorization": f"Bearer {TOKEN}"}) == (
            200, [])


def test_socket_is_for_root(manager):
    assert os.stat(manager.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("raw", [
    "", "{", "[]", '"text"', "7", "null", "{} {}", '{"a": 1,}', "\0",
    '{"sites": ' + "[" * 500 + "]" * 500 + "}",
    '{"sites": ' + '{"a":' * 40 + "1" + "}" * 40 + "}", b"\xff\xfe{}",
    b'{"sites": {"\xff": {}}}',
])
def test_bad_bodies(manager, raw):
    status, problem = manager.call("PUT", "/config", raw=raw)
    assert status in (400, 422), problem


def test_big_body(manager):
    raw = '{"lab": "' + "x" * (1024 * 1024) + '"}'
    status, problem = manager.call("PUT", "/config", raw=raw)
    assert status == 413 and "1048576" in problem["detail"]
    assert manager.get("/sites") == (200, [])


def test_unknown_paths_and_methods(manager):
    for path in ("/", "/api/v1/", "/api/v1/vm", "/api/v1/vms/", "/api/v2/vms",
                 "/api/v1/vms/a/b", "/api/v1/vms/a/start/b",
                 "/api/v1/vms/%2e%2e/%2e%2e", "/api/v1/vms/%ff%fe",
                 "/api/v1/%ff", "/api/v1/vms/%00", "/api/v1/vms/%e6%b8%a1"):
        path = path if path.startswith("/api") else "/api/v1" + path
        assert manager.call("GET", path)[0] in (404, 405), path
    status, problem = manager.call("DELETE", "/vms")
    assert status == 405 and manager.headers["Allow"] == "GET, POST"
    assert "GET, POST" in problem["detail"]
    assert manager.call("PATCH", "/vms/x")[0] == 405
    assert manager.call("GET", "/vms/x/start")[0] == 405


def test_garbage_on_the_wire(manager):
    for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x00" * 50,
                 b"GET / HTTP/9.9\r\n\r\n", b"POST /api/v1/vms HTTP/1.1\r\n"
                 b"Content-Length: -1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(manager.path))
            sock.sendall(data)
            sock.settimeout(0.2)
            try:
                sock.recv(4096)
            except TimeoutError:
                pass            # It waits for the rest.
    assert manager.get("/vms") == (200, [])


def test_port_in_use(store, manager):
    done = subprocess.run(
        [PROGRAM,
         f"--store={store.remote}", f"--listen=127.0.0.1:{manager.port}",
         f"--token-file={manager.token_file}", "--unixctl=none",
         "-vconsole:off"], capture_output=True, text=True, timeout=10,
        check=False)
    assert done.returncode == 1
    assert (f"cannot listen on 127.0.0.1:{manager.port}: the port is in use"
            in done.stderr)
    done = subprocess.run(
        [PROGRAM,
         f"--store={store.remote}", f"--unix={manager.path}",
         "--unixctl=none", "-vconsole:off"], capture_output=True, text=True,
        timeout=10, check=False)
    assert done.returncode == 1 and "another manager" in done.stderr


@pytest.mark.parametrize("args", [
    [], ["--store=unix:x"], ["--store=unix:x", "--listen=127.0.0.1:1"],
    ["--store=unix:x", "--unix=y", "surplus"], ["--nonsense"]])
def test_usage(args):
    done = subprocess.run(
        [PROGRAM, *args],
        capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_inherited_socket(store, manager):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        command = [PROGRAM,
                   f"--store={store.remote}", f"--listen-fd={sock.fileno()}",
                   f"--token-file={manager.token_file}", "--unixctl=none",
                   "-vconsole:off"]
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=10, check=False,
                              pass_fds=[sock.fileno()])
        assert done.returncode == 1
        assert "is not a socket that listens" in done.stderr
        sock.listen()
        process = subprocess.Popen(command, pass_fds=[sock.fileno()])
        port = sock.getsockname()[1]
    try:
        def ask(headers):
            connection = http.client.HTTPConnection("127.0.0.1", port,
                                                    timeout=5)
            connection.request("GET", "/api/v1/vms", headers=headers)
            return connection.getresponse().status
        wait_for(lambda: ask({"Authorization": f"Bearer {TOKEN}"}) == 200)
        assert ask({}) == 401
    finally:
        stop(process)


# More than one manager; without a store.

def test_two_managers(store, applied):
    """Both answer; one is active, and the other one takes over."""
    second = Manager(store, "second")
    try:
        assert second.get("/vms/web1")[1] == applied.get("/vms/web1")[1]
        assert second.call("POST", "/vms/web1/stop")[0] == 200
        wait_for(lambda: applied.get("/vms/web1")[1]["power"] == "stopped")

        def role(name):
            return subprocess.run(
                ["ovs-appctl", "-t", store.folder / f"{name}.ctl",
                 "manager/status"], capture_output=True, text=True,
                check=True).stdout
        assert "role: active" in role("manager")
        assert "role: standby" in role("second")
    finally:
        second.stop()
    assert not second.path.exists()


def test_store_away(tmp_path):
    """Reads go on; a write says after a while that nobody answers."""
    store = Store(tmp_path)
    manager = Manager(store)
    try:
        assert manager.call("PUT", "/config", CONFIG)[0] == 200
        store.stop()
        assert len(manager.get("/vms")[1]) == 2
        wait_for(lambda: manager.get("/status")[1]["store"]
                 == "not connected")
        results = []
        thread = threading.Thread(target=lambda: results.append(
            manager.call("POST", "/vms/web1/stop")))
        thread.start()
        time.sleep(0.5)
        store.start()
        thread.join(20)
        assert results[0][0] == 200 and results[0][1]["power"] == "stopped"
    finally:
        manager.stop()
        store.stop()


def processor_seconds(process):
    """User and system time of a process so far."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_while_the_store_is_away(tmp_path):
    """A write that the store did not answer waits without turning the loop."""
    store = Store(tmp_path)
    manager = Manager(store)
    try:
        assert manager.call("PUT", "/config", CONFIG)[0] == 200
        store.pause()
        results = []
        thread = threading.Thread(target=lambda: results.append(
            manager.call("POST", "/vms/web1/stop")))
        thread.start()
        time.sleep(0.5)         # It is on its way.
        store.kill()
        wait_for(lambda: manager.get("/status")[1]["store"] == "not connected")
        before = processor_seconds(manager.process)
        time.sleep(1)
        assert processor_seconds(manager.process) - before < 0.3
        store.start()
        thread.join(20)
        assert results[0][0] == 200
    finally:
        manager.stop()
        store.stop()


def test_configuration_is_read_again(store, tmp_path):
    """SIGHUP: a new token holds at once, a wrong file changes nothing."""
    token, log = tmp_path / "token", tmp_path / "log"
    config = tmp_path / "manager.yaml"
    port = free_port()
    text = (f"store: {store.remote}\nunix: {tmp_path}/m.sock\nlisten: 127.0.0.1:{port}\n"
            f"token-file: {token}\nlog: [info]\nlog-file: {log}\n")
    config.write_text(text)
    token.write_text("the-first-token-of-two\n")
    process = subprocess.Popen([PROGRAM, f"--config={config}", "-vconsole:off", "-vsyslog:off"])

    class Plain(Manager):
        def __init__(self):
            self.path, self.port = tmp_path / "m.sock", port

    def status(word):
        return manager.call_tcp("GET", "/sites", headers={"Authorization": f"Bearer {word}"})[0]

    def reload(sentence):
        before = log.read_text().count(sentence)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: log.read_text().count(sentence) > before, what=sentence)

    try:
        manager = Plain()
        wait_for(manager.path.exists)
        assert (tmp_path / "manager.ctl").exists()
        assert status("the-first-token-of-two") == 200
        token.write_text("the-second-token-of-two\n")
        config.write_text(text.replace(f"{port}", f"{port + 1}"))
        reload(f'{config}: "listen" cannot change while watari-manager runs')
        wait_for(lambda: status("the-second-token-of-two") == 200, what="the new token")
        assert status("the-first-token-of-two") == 401

        for wrong, sentence in ((text + "lisen: x\n", ':7:1: the manager\'s configuration has no '
                                                      'key "lisen"; did you mean "listen"?'),
                                (text.replace(str(token), "/nonexistent"),
                                 ":4:13: token-file: /nonexistent: No such file or directory")):
            token.write_text("the-third-token-of-two\n")
            config.write_text(wrong)
            reload(f"{config}{sentence}")
            reload(f"{config} is wrong; nothing has changed")
            assert status("the-second-token-of-two") == 200
        assert process.poll() is None
    finally:
        stop(process)


def test_not_ready_without_a_store(tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    process = subprocess.Popen(
        [PROGRAM,
         f"--store=unix:{tmp_path}/none", f"--unix={tmp_path}/m.sock",
         "--unixctl=none", "-vconsole:off"])
    try:
        wait_for((tmp_path / "m.sock").exists)

        class Plain(Manager):
            def __init__(self):
                self.path = tmp_path / "m.sock"
        manager = Plain()
        assert manager.get("/vms")[0] == 503
        assert manager.get("/openapi.json")[0] == 200
        assert manager.get("/status")[1]["store"] == "not connected"
    finally:
        stop(process)
