"""VMs, their migrations and the events of both, over the REST API."""

import pytest

from apikit import (CONFIG, Manager, fixture_agent, fixture_applied,
                    fixture_manager, fixture_running, fixture_store)
from storekit import Proxy, ref, wait_for


# VMs.

def test_create_vm(applied):
    vm = {"name": "new", "host": "t2", "network": "blue",
          "address": "10.255.0.31", "memory": "100M", "power": "stopped"}
    status, answer = applied.call("POST", "/vms", vm)
    assert status == 201 and answer["name"] == "new"
    assert applied.headers["Location"] == "/api/v1/vms/new"
    assert answer["state"] == "stopped"
    assert answer["memory_kib"] == 102400 + 8
    status, problem = applied.call("POST", "/vms", vm)
    assert status == 409 and "already" in problem["detail"]
    status, problem = applied.call("POST", "/vms", {**vm, "name": "n2"})
    assert status == 422 and "is new's" in problem["detail"]
    status, problem = applied.call("POST", "/vms", {"name": "n 2"})
    assert status == 422 and len(problem["errors"]) >= 3


def test_defaults_come_from_the_host(store, agent, applied):
    store.update("Host", agent.uuid("Host", "t2"), facts=[
        "map", [["machine", "pc-i440fx-9.0"], ["cpu", "max"]]])
    vm = {"name": "new", "host": "t2", "network": "blue",
          "address": "10.255.0.31"}
    wait_for(lambda: applied.get("/hosts/t2")[1]["facts"], what="facts")
    _, answer = applied.call("POST", "/vms", vm)
    assert (answer["machine"], answer["cpu"]) == ("pc-i440fx-9.0", "max")


def test_start_and_stop(store, agent, applied):
    status, vm = applied.call("POST", "/vms/web1/stop")
    assert status == 200 and vm["power"] == "stopped"
    assert vm["state"] == "stopped"
    status, vm = applied.call("POST", "/vms/web1/start")
    assert status == 200 and vm["power"] == "running"
    agent.run("web1", "t1")
    assert wait_for(lambda: applied.get("/vms/web1")[1]["state"]
                    == "running")
    assert applied.call("POST", "/vms/nothing/start")[0] == 404


def test_delete_vm(store, agent, applied):
    agent.run("web1", "t1")
    agent.bind("web1", "t1", 1, "198.18.1.100")
    wait_for(lambda: applied.get("/vms/web1")[1]["state"] == "running")
    status, problem = applied.call("DELETE", "/vms/web1")
    assert status == 409 and "is running; stop it first" in problem["detail"]
    assert applied.call("DELETE", "/vms/web1?force=true") == (204, None)
    assert applied.call("DELETE", "/vms/web1")[0] == 404
    assert not store.rows("Instance") and not store.rows("Binding")
    assert applied.call("DELETE", "/vms/two") == (204, None)
    assert applied.call("PUT", "/config", CONFIG)[0] == 200


def test_bindings(agent, applied):
    agent.bind("web1", "t1", 1, "198.18.1.100")
    agent.bind("web1", "o1", 2, "198.18.2.100")
    bindings = wait_for(lambda: len(applied.get("/bindings")[1]) == 2
                        and applied.get("/bindings")[1])
    by_host = {b["host"]: b for b in bindings}
    assert by_host["o1"]["current"] and not by_host["t1"]["current"]
    assert by_host["o1"]["name"] == "web1"
    assert by_host["o1"]["mobile"] == "198.18.2.100"
    assert applied.get("/vms/web1")[1]["mobile"] == "198.18.2.100"
    assert applied.get("/bindings/" + bindings[0]["uuid"])[0] == 200


# Migrations.

@pytest.fixture(name="web1")
def fixture_web1(agent, applied):
    agent.run("web1", "t1")
    wait_for(lambda: applied.get("/vms/web1")[1]["state"] == "running")
    return "/vms/web1/migrations"


def test_migrate(store, agent, applied, web1):
    status, migration = applied.call("POST", web1, {
        "to": "o1", "options": {"with_disk": True, "max_ms": 30}})
    assert status == 202
    assert migration["vm"] == "web1" and migration["state"] == "requested"
    assert (migration["from"], migration["to"]) == ("t1", "o1")
    assert migration["result"] is None
    assert migration["options"] == {"with_disk": "true", "max_ms": "30"}
    uuid = migration["uuid"]
    assert applied.headers["Location"] == f"/api/v1/migrations/{uuid}"
    status, problem = applied.call("POST", web1, {"to": "o1"})
    assert status == 409 and "being migrated already" in problem["detail"]

    store.update("Migration", uuid, state="completed", finished=2,
                 step="release", figures=["map", [["total_ms", 812.5]]],
                 phases=["map", [["release", 1.0], ["check", 2.5],
                                 ["move", 700.0]]])
    done = wait_for(lambda: (m := applied.get(f"/migrations/{uuid}")[1])
                    ["result"] and m)
    assert done["result"] == "completed" and done["total_ms"] == 812.5
    assert [p["name"] for p in done["phases"]] == ["check", "move",
                                                   "release"]
    status, problem = applied.call("POST", f"/migrations/{uuid}/cancel")
    assert status == 409 and "completed" in problem["detail"]
    assert applied.call("POST", web1, {"to": "o1"})[0] == 202


@pytest.mark.parametrize("fault", ["lose_answer", "do_twice"])
def test_done_without_an_answer(store, agent, applied, web1, fault):
    """What the store did is not refused because its answer was lost."""
    proxy = Proxy(store, f"{fault}-store")
    other = Manager(proxy, fault)
    try:
        for path, body, status, table, n in [
                ("/vms", {"name": "new", "host": "t2", "network": "blue",
                          "address": "10.255.0.31"}, 201, "VM", 3),
                ("/vms/web1/migrations", {"to": "o1"}, 202, "Migration", 1)]:
            getattr(proxy, fault)()
            answer = other.call("POST", path, body)
            assert answer[0] == status, answer
            assert proxy.fault is None and len(store.rows(table)) == n
    finally:
        other.stop()
        proxy.close()


def test_cancel(store, applied, web1):
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    status, migration = applied.call("POST", f"/migrations/{uuid}/cancel")
    assert status == 202 and migration["cancel"] is True
    assert store.row("Migration", uuid)["cancel"] is True
    assert applied.call("POST", "/migrations/x/cancel")[0] == 404


def test_resolve(store, agent, applied, web1):
    """Only of a stuck migration, and only one of its two hosts."""
    migration = applied.call("POST", web1, {"to": "o1"})[1]
    uuid, source, destination = (migration[key] for key in ("uuid", "from", "to"))
    path = f"/migrations/{uuid}/resolve"
    status, problem = applied.call("POST", path, {"runs_on": source})
    assert status == 409 and "stuck" in problem["detail"]
    store.update("Migration", uuid, state="stuck")
    store.update("VM", agent.uuid("VM", "web1"), migration=ref(uuid))
    wait_for(lambda: applied.get("/vms/web1")[1]["state"] == "stuck")
    for body, word in ({}, "runs_on"), ({"runs_on": "n1"}, source), ({"runs_on": "no"}, source), \
            ({"runs_on": source, "x": 1}, "x"):
        status, problem = applied.call("POST", path, body)
        assert status in (400, 422) and word in str(problem), problem
        assert store.row("Migration", uuid)["runs_on"] == ["set", []]
    status, migration = applied.call("POST", path, {"runs_on": destination})
    assert status == 202 and migration["runs_on"] == destination
    host, = store.rows("Host", ["name", "==", destination])
    assert store.row("Migration", uuid)["runs_on"] == host["_uuid"]
    assert applied.call("POST", "/migrations/x/resolve", {"runs_on": source})[0] == 404


def test_migrate_to_a_site(store, agent, applied, web1):
    """The host with the most free memory is taken."""
    store.insert("Host", name="o2", site=ref(agent.uuid("Site", "osaka")),
                 memory_mib=8192)
    store.update("Host", agent.uuid("Host", "o1"), memory_mib=1024)
    wait_for(lambda: applied.get("/hosts/o2")[0] == 200)
    status, migration = applied.call("POST", web1, {"to": "osaka"})
    assert status == 202 and migration["to"] == "o2"


def test_no_room(store, agent, applied, web1):
    store.update("Host", agent.uuid("Host", "o1"), memory_mib=128)
    wait_for(lambda: applied.get("/hosts/o1")[1]["memory_mib"] == 128)
    status, problem = applied.call("POST", web1, {"to": "osaka"})
    assert status == 409 and "MiB free" in problem["detail"]


@pytest.mark.parametrize("body, status, sentence", [
    ({"to": "t1"}, 409, 'is on host "t1" already'),
    ({"to": "tokyo"}, 409, 'is at site "tokyo" already, on host "t1"'),
    ({"to": "x9"}, 422, 'no host and no site "x9"'),
    ({}, 422, "to: is missing"),
    ({"to": 7}, 422, "to: must be a name"),
    ({"to": "o1", "too": "o1"}, 422, "too: is not known"),
    ({"to": "o1", "options": {"a": [1]}}, 422, "options.a"),
    ({"to": "o1", "options": {"a" * 70: 1}}, 422, "options.a"),
    ({"to": "o1", "options": {f"a{i}": 1 for i in range(17)}}, 422,
     "more than 16"),
])
def test_bad_migrations(store, applied, web1, body, status, sentence):
    got, problem = applied.call("POST", web1, body)
    assert got == status and sentence in problem["detail"]
    assert not store.rows("Migration")


def test_only_running_vms_migrate(applied, web1):
    status, problem = applied.call("POST", "/vms/two/migrations",
                                   {"to": "t1"})
    assert status == 409 and "only a running VM" in problem["detail"]
    status, problem = applied.call("POST", "/vms/none/migrations",
                                   {"to": "t1"})
    assert status == 404
    assert applied.call("POST", web1)[0] == 400


def test_state_while_it_moves(store, agent, applied, web1):
    """The VM is where it runs, not where one waits for it."""
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    store.update("VM", agent.uuid("VM", "web1"), migration=ref(uuid))
    agent.run("web1", "o1", 2, "listening")
    wait_for(lambda: applied.get("/vms/web1")[1]["migration"] == uuid)
    vm = applied.get("/vms/web1")[1]
    assert (vm["host"], vm["state"]) == ("t1", "migrating")
    status, problem = applied.call("POST", "/vms/web1/stop")
    assert status == 409 and "being migrated" in problem["detail"]


def test_hosts_count_their_vms(agent, applied):
    """A VM counts once: where it runs, or, without an instance, where it is to be."""
    def counts():
        return {host["name"]: (host["vms"], host["memory_used_mib"])
                for host in applied.get("/hosts")[1]}

    assert counts() == {"t1": (1, 256), "t2": (0, 0), "o1": (1, 128)}
    agent.run("web1", "t2", 1, "failed")
    agent.run("web1", "o1", 2)
    agent.run("web1", "t1", 3, "listening")
    wait_for(lambda: applied.get("/vms/web1")[1]["host"] == "o1")
    assert counts() == {"t1": (0, 0), "t2": (0, 0), "o1": (2, 384)}


# Events.

def test_stream(store, agent, applied, web1):
    follower = applied.follow()
    try:
        store.insert("Event", time=5, kind="vm", object="web1", host="t1",
                     text="started")
        event = follower.wait("event", text="started")
        assert event["kind"] == "vm" and event["time"] == 5
        uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
        assert follower.wait("migration", uuid=uuid, state="requested")

        # One that comes later begins with what is going on.
        late = applied.follow()
        assert late.wait("migration", uuid=uuid)
        late.close()
        store.update("Migration", uuid, state="running", step="listen")
        assert follower.wait("migration", uuid=uuid, step="listen")
        agent.run("web1", "o1", 2)
        assert follower.wait("vm", name="web1", host="o1")
        agent.bind("web1", "o1", 2, "198.18.2.100")
        assert follower.wait("binding", name="web1", mobile="198.18.2.100")
        applied.call("DELETE", "/vms/two")
        assert follower.wait("vm", gone=True)
    finally:
        follower.close()


def test_actions_are_events(store, agent, applied, web1):
    uuid = applied.call("POST", web1, {"to": "o1"})[1]["uuid"]
    applied.call("POST", f"/migrations/{uuid}/cancel")
    applied.call("POST", "/vms/two/stop")
    applied.call("POST", "/vms/two/stop")
    applied.call("DELETE", "/vms/two")
    events = {(e["kind"], e["object"], e["text"])
              for e in applied.get("/events")[1]}
    assert events == {
        ("vm", "web1", "created on t1"), ("vm", "two", "created on o1"),
        ("migration", "web1", "requested: t1 -> o1"),
        ("migration", "web1", "is to be cancelled"),
        ("vm", "two", "is to be stopped"), ("vm", "two", "deleted")}


def test_events_are_listed_in_order(store, manager):
    for time_ms in (3, 1, 2):
        store.insert("Event", time=time_ms, kind="vm", object="x",
                     text=f"event {time_ms}")
    events = wait_for(lambda: len(manager.get("/events")[1]) == 3
                      and manager.get("/events")[1])
    assert [event["time"] for event in events] == [1, 2, 3]
    limited = manager.get("/events?limit=2")[1]
    assert [event["time"] for event in limited] == [2, 3]
    assert manager.get("/events?limit=-3")[1] == events


def test_events_are_trimmed(store, manager):
    store.transact(*({"op": "insert", "table": "Event",
                      "row": {"time": i, "kind": "test"}}
                     for i in range(1100)))
    wait_for(lambda: len(store.rows("Event")) == 1000, what="the trim")
    assert min(row["time"] for row in store.rows("Event")) == 100


def test_streams_are_bounded(manager):
    followers = [manager.follow() for _ in range(64)]
    status, problem = manager.call("GET", "/events", headers={
        "Accept": "text/event-stream"})
    assert status == 503 and "64" in problem["detail"]
    for follower in followers:
        follower.close()

    # Their places are free once the manager has noticed that they left.
    def again():
        try:
            manager.follow().close()
            return True
        except AssertionError:
            return False
    wait_for(again, timeout=40, what="a free place")
