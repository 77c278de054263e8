"""A session with a switch, against a real ovs-vswitchd."""

import statistics

import pytest

from ovskit import Session, Switch


@pytest.fixture(name="switch")
def fixture_switch(tmp_path):
    switch = Switch(tmp_path, ports=2)
    yield switch
    switch.stop()


@pytest.fixture(name="sessions")
def fixture_sessions(switch):
    made = []

    def make():
        session = Session(switch)
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


def flow(cookie, number, actions):
    return (f"cookie={cookie:#x}, table={number % 3}, priority=100,ip,"
            f"nw_dst=10.{number >> 16}.{number >> 8 & 255}.{number & 255} "
            f"actions={actions}")


def write(tmp_path, lines):
    path = tmp_path / "flows.txt"
    path.write_text("".join(line + "\n" for line in lines))
    return path


@pytest.fixture(name="thousand")
def fixture_thousand():
    return [flow(1 + i // 10, i, "set_field:10.0.0.1->ip_dst,dec_ttl,output:2")
            for i in range(1000)]


def loaded(sessions, path):
    session = sessions()
    session("load", path)
    session("complete")
    assert session("up") == "up"
    assert session("sync").startswith("acked")
    return session


def test_thousand_flows_survive_restarts(switch, sessions, tmp_path,
                                         thousand):
    # Somebody else's flows go away.
    switch.ofctl("add-flow", "br0", "priority=7,actions=NORMAL")
    session = loaded(sessions, write(tmp_path, thousand))
    assert len(switch.flows()) == 1000
    assert not any("NORMAL" in line for line in switch.flows())
    counters = session.counters()
    assert counters["flow_mods"] == 1001
    assert counters["bundles"] == 1
    assert counters["errors"] == 0

    # The switch restarts: all come back.
    before = switch.flows()
    switch.restart()
    session("run", 1500)
    assert session("up") == "up"
    assert session("sync").startswith("acked")
    assert switch.flows() == before
    assert session.counters()["reconnects"] == 2


def test_new_session_touches_only_what_differs(switch, sessions, tmp_path,
                                               thousand):
    first = loaded(sessions, write(tmp_path, thousand))
    first.close()
    before = switch.durations()
    first = sessions()
    first("run", 1200)

    # 10 others, 10 changed, 10 with another cookie; 970 are the same.
    lines = (thousand[10:980] + [flow(1 + i // 10, i, "drop")
                                 for i in range(980, 990)]
             + [flow(5000, i, "set_field:10.0.0.1->ip_dst,dec_ttl,output:2")
                for i in range(990, 1000)]
             + [flow(6000, i, "output:1") for i in range(2000, 2010)])
    second = loaded(sessions, write(tmp_path, lines))
    assert second.counters()["flow_mods"] == 40
    after = switch.durations()
    assert len(after) == 1000
    untouched = [key for key in after if key in before
                 and after[key] > before[key] + 1.0]
    assert len(untouched) == 970

    # And a third with the same changes nothing at all.
    third = loaded(sessions, write(tmp_path, lines))
    assert third.counters()["flow_mods"] == 0


def test_nothing_is_sent_before_complete(switch, sessions, tmp_path,
                                         thousand):
    switch.ofctl("add-flow", "br0", "priority=7,actions=NORMAL")
    session = sessions()
    session("load", write(tmp_path, thousand))
    assert session("up") == "up"
    session("run", 200)
    assert len(switch.flows()) == 1
    session("complete")
    assert session("sync").startswith("acked")
    assert len(switch.flows()) == 1000


def test_ports_of_an_earlier_session(switch, sessions):
    """By what ports flows told packets apart, whoever installed them."""
    nobody = 0xffff
    for flow in ("cookie=0x8000000000000001,priority=9,arp,in_port=2,actions=drop",
                 "cookie=0x8000000000000001,table=7,priority=9,ip,actions=output:2",
                 "cookie=0x8000000000000002,table=7,priority=9,ip,nw_dst=10.0.0.1,"
                 "actions=output:2"):
        switch.ofctl("add-flow", "br0", flow)
    session = sessions()
    assert session("port", "8000000000000001") == str(nobody)
    assert session("up") == "up"
    assert [session("port", f"800000000000000{i}") for i in (1, 2, 3)] \
        == ["2", str(nobody), str(nobody)]


def test_bad_flow_does_not_take_the_good_ones_with_it(switch, sessions,
                                                      tmp_path):
    # There is no group 77.
    lines = [flow(1, 0, "output:2"), flow(2, 1, "output:2"),
             "cookie=0x3, table=0, priority=9,ip,in_port=1 "
             "actions=group:77"]
    session = loaded(sessions, write(tmp_path, lines))
    session("run", 300)
    assert session.counters()["errors"] >= 1
    flows = switch.flows()
    assert any("cookie=0x1" in line for line in flows), flows
    assert any("cookie=0x2" in line for line in flows)

    # Later changes go through.
    session("load", write(tmp_path, [flow(1, 0, "output:1")]))
    assert session("sync").startswith("acked")
    assert any("cookie=0x1" in line and "output:1" in line or
               "cookie=0x1" in line and "output:p1" in line
               for line in switch.flows())


def test_flip_is_quick(switch, sessions, tmp_path, thousand):
    session = loaded(sessions, write(tmp_path, thousand))
    times = []
    for i in range(50):
        out = 1 + i % 2
        session("load", write(tmp_path, [
            flow(9000, 3000, f"output:{out}"),
            flow(9000, 3001, f"output:{out}")]))
        word, us = session("sync").split()
        assert word == "acked"
        times.append(int(us))
    print(f"flip of two flows: median {statistics.median(times)} us, "
          f"max {max(times)} us")
    assert statistics.median(times) < 5000


def test_packets_and_idle(switch, sessions, tmp_path):
    lines = ["cookie=0xa000000000000001, table=0, priority=10,in_port=1,"
             "dl_type=0x8035 actions=set_field:0x7->metadata,"
             "CONTROLLER:65535",
             "cookie=0xb000000000000001, table=0, priority=10,in_port=1,ip "
             "actions=output:2",
             "cookie=0xb000000000000002, table=0, priority=10,in_port=2,ip "
             "actions=output:1"]
    session = loaded(sessions, write(tmp_path, lines))

    rarp = bytes.fromhex("ffffffffffff02000000000a8035"
                         "0001080006040003" + "02000000000a00000000" * 2)
    switch.send(1, rarp)
    session("run", 200)
    packet = session("packets").split(":")
    assert packet[:4] == ["1", "0xa000000000000001", "7", "0"]
    assert bytes.fromhex(packet[4]).startswith(rarp)

    # Through the tables as if it came from port 1.
    ip = bytes.fromhex("02000000000b02000000000a0800"
                       "4500001c000000004011000000000000") + bytes(20)
    session("packet-out", 1, 0xfff9, ip.hex())
    session("run", 1000)
    assert len(switch.sent(2)) == 1
    idle = dict(entry.split(":", 1) for entry in
                session("idle", "0xb000000000000000",
                        "0xf000000000000000").split())
    assert set(idle) == {"0xb000000000000001", "0xb000000000000002"}
    packets, seconds = idle["0xb000000000000001"].split(":")
    assert int(packets) == 1
    assert int(seconds) <= 5
    assert idle["0xb000000000000002"].startswith("0:")


@pytest.mark.parametrize("version", ["OpenFlow13", "OpenFlow14",
                                     "OpenFlow15"])
def test_versions(switch, sessions, tmp_path, thousand, version):
    """Whichever of the three a switch speaks."""
    switch.vsctl("set", "bridge", "br0", f"protocols={version}")
    path = write(tmp_path, thousand[:100])
    session = loaded(sessions, path)
    counters = session.counters()
    assert (counters["flow_mods"], counters["errors"]) == (100, 0)
    assert len(session("idle", 0, 0).split()) == 100
    again = loaded(sessions, path)
    assert again.counters()["flow_mods"] == 0
