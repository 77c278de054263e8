"""The pipeline on a real switch: packets in, packets out.

test-golden compiles the flows, a session installs them, and the switch's
userspace datapath forwards real frames between dummy ports.
"""

import re
import subprocess

import pytest

import frames
from frames import Ip
from ovskit import Session, Switch
from storekit import BUILD, wait_for

WAN, HOLD, WEB, ALICE, OPEN = 1, 2, 3, 4, 5
OUR = "02:00:00:00:00:01"
SITE_ROUTER = "02:00:00:00:00:fe"
ROUTER = "02:57:00:00:00:01"
WEB_MAC, ALICE_MAC = "02:00:00:00:01:11", "02:00:00:00:01:21"

WORLD = f"""
uplink wan={WAN} hold={HOLD} mac={OUR} router={SITE_ROUTER} router6={SITE_ROUTER}
network blue id=7 prefix=10.255.0.0/24,fd00:255::/64 gateway=10.255.0.254,fd00:255::fe
interface web network=blue mac={WEB_MAC} home=10.255.0.11,fd00:255::11
interface alice network=blue mac={ALICE_MAC} home=10.255.0.21,fd00:255::21
interface bob network=blue mac=02:00:00:00:01:31 home=10.255.0.31,fd00:255::31
here web port={WEB} mobile=198.18.1.100,2001:db8:1::100
out web here gen=1
here alice port={ALICE} mobile=198.18.1.101,2001:db8:1::101
out alice here gen=1
out bob away gen=1 mobile=198.18.2.100,2001:db8:2::100
accept bob gen=1 mobile=198.18.2.100,2001:db8:2::100
open {OPEN} network=blue
"""

# Home and mobile addresses, by family.
HOME = {4: {"web": "10.255.0.11", "alice": "10.255.0.21",
            "bob": "10.255.0.31"},
        6: {"web": "fd00:255::11", "alice": "fd00:255::21",
            "bob": "fd00:255::31"}}
MOBILE = {4: {"web": "198.18.1.100", "alice": "198.18.1.101",
              "bob": "198.18.2.100"},
          6: {"web": "2001:db8:1::100", "alice": "2001:db8:1::101",
              "bob": "2001:db8:2::100"}}
UNKNOWN = {4: "198.18.9.9", 6: "2001:db8:9::9"}
both_families = pytest.mark.parametrize("v", [4, 6])


class World:
    def __init__(self, switch, folder):
        self.switch = switch
        self.folder = folder
        self.session = Session(switch)
        self.text = WORLD
        self.apply("")
        self.session("complete")
        assert self.session("up") == "up"
        self.sync()

    def apply(self, more):
        self.text += more + "\n"
        commands = self.folder / "commands.txt"
        flows = self.folder / "flows.txt"
        commands.write_text(self.text + f"dump {flows}\n")
        subprocess.run([BUILD / "src/mobility/test-golden", commands],
                       check=True)
        self.session("load", flows)

    def sync(self):
        assert self.session("sync").startswith("acked")
        counters = self.session.counters()
        assert counters["errors"] == 0, self.session("counters")

    def drops(self):
        """Cookie and packets of each flow that drops."""
        self.switch.appctl("revalidator/purge")
        text = self.switch.ofctl("dump-flows", "br0")
        return [(match[1], int(match[2])) for match in
                re.finditer(r"cookie=(\S+),.* n_packets=(\d+),.*actions=drop",
                            text)]

    def dropped(self, cookie):
        return sum(n for c, n in self.drops() if re.fullmatch(cookie, c))

    def assert_dropped(self, port, frame, cookie):
        before = self.dropped(cookie)
        sent = [len(self.switch.sent(p)) for p in range(1, 6)]
        self.switch.send(port, frame)
        wait_for(lambda: self.dropped(cookie) == before + 1,
                 what=f"a drop by {cookie}")
        assert sent == [len(self.switch.sent(p)) for p in range(1, 6)]


# Cookies of drops, see PIPELINE_DROPS.
def drop(number):
    return f"0x1{number:014x}"


UNDECLARED, VLAN, MULTICAST, PROBE = drop(0), drop(1), drop(2), drop(3)
NO_ROUTE, UNKNOWN_MOBILE, UNKNOWN_SENDER = drop(6), drop(9), drop(10)
SPOOFED = "0xb[0-9a-f]{14}"


@pytest.fixture(name="world", scope="module")
def fixture_world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    switch = Switch(folder)
    world = World(switch, folder)
    yield world
    world.session.close()
    switch.stop()


@both_families
def test_guest_to_remote(world, v):
    frame = frames.udp(WEB_MAC, ROUTER, HOME[v]["web"], HOME[v]["bob"])
    out = Ip(world.switch.exchange(WEB, frame, WAN)[-1])
    assert (out.eth_src, out.eth_dst) == (OUR, SITE_ROUTER)
    assert (out.src, out.dst) == (MOBILE[v]["web"], MOBILE[v]["bob"])
    assert out.ttl == 63
    assert out.body.endswith(b"hello")


@both_families
def test_remote_to_guest(world, v):
    frame = frames.udp(SITE_ROUTER, OUR, MOBILE[v]["bob"], MOBILE[v]["web"])
    out = Ip(world.switch.exchange(WAN, frame, WEB)[-1])
    assert (out.eth_src, out.eth_dst) == (ROUTER, WEB_MAC)
    assert (out.src, out.dst) == (HOME[v]["bob"], HOME[v]["web"])
    assert out.ttl == 63


@both_families
def test_local(world, v):
    frame = frames.udp(ALICE_MAC, ROUTER, HOME[v]["alice"], HOME[v]["web"])
    out = Ip(world.switch.exchange(ALICE, frame, WEB)[-1])
    assert (out.eth_src, out.eth_dst) == (ROUTER, WEB_MAC)
    assert (out.src, out.dst) == (HOME[v]["alice"], HOME[v]["web"])
    assert out.ttl == 63


def there_and_back(world, v, proto, body, fragment):
    """Sends 'body' to bob; what arrives comes back the same way.

    What the way back does to the addresses is what the far edge does on the
    way there, seen from the other side.
    """
    frame = frames.ip_frame(WEB_MAC, ROUTER, HOME[v]["web"], HOME[v]["bob"],
                            proto, body, frag=fragment)
    out = Ip(world.switch.exchange(WEB, frame, WAN)[-1])
    assert out.dst == MOBILE[v]["bob"]
    assert out.fragment == fragment
    frame = frames.ip_frame(SITE_ROUTER, OUR, MOBILE[v]["bob"],
                            MOBILE[v]["web"], proto, out.body, frag=fragment)
    back = Ip(world.switch.exchange(WAN, frame, WEB)[-1])
    assert back.src == HOME[v]["bob"]
    return back.body


@pytest.mark.parametrize("word", [0x0000, 0x0607, 0xfffe, 0xffff])
def test_fragments(world, word):
    """Open vSwitch 3.1 adapts what it takes for a UDP checksum in later IPv4
    fragments too.  The other edge takes it back, whatever it was."""
    body = bytearray(range(24))
    body[6:8] = word.to_bytes(2, "big")
    for fragment in (0x2000, 0x2001, 0x0002):
        assert there_and_back(world, 4, 17, bytes(body), fragment) == body


def test_fragments6(world):
    for offset in (b"\0\1", b"\0\x09", b"\0\x10"):
        body = b"\x11\0" + offset + b"\0\0\0\7" + bytes(range(24))
        assert there_and_back(world, 6, 44, body, 0) == body


def test_arp_reply(world):
    # For a known, an unknown and the gateway's address.
    for target in ("10.255.0.31", "10.255.0.99", "10.255.0.254"):
        frame = frames.arp(WEB_MAC, 1, WEB_MAC, "10.255.0.11", target)
        reply = world.switch.exchange(WEB, frame, WEB)[-1]
        assert reply == frames.arp(ROUTER, 2, ROUTER, target, "10.255.0.11",
                                   tha=WEB_MAC, eth_dst=WEB_MAC)


def test_arp_reply_to_the_site(world):
    frame = frames.arp(SITE_ROUTER, 1, SITE_ROUTER, "198.18.1.1",
                       "198.18.1.100")
    reply = world.switch.exchange(WAN, frame, WAN)[-1]
    assert reply == frames.arp(OUR, 2, OUR, "198.18.1.100", "198.18.1.1",
                               tha=SITE_ROUTER, eth_dst=SITE_ROUTER)


def check_na(reply, owner, to_mac, src, dst, flags, option=True):
    out = Ip(reply)             # This checks the checksum, too.
    assert (out.eth_src, out.eth_dst) == (owner, to_mac)
    assert (out.src, out.dst, out.ttl) == (src, dst, 255)
    body = bytes([136, 0]) + out.body[2:4] + flags + frames.ip(src)
    if option:
        body += b"\2\1" + frames.mac(owner)
    assert out.body == body


def test_ns_reply(world):
    for source in ("fd00:255::11", "fe80::11"):
        frame = frames.ns(WEB_MAC, source, "fd00:255::31")
        reply = world.switch.exchange(WEB, frame, WEB)[-1]
        check_na(reply, ROUTER, WEB_MAC, "fd00:255::31", source,
                 b"\x60\0\0\0")
    frame = frames.ns(WEB_MAC, "fd00:255::11", "fd00:255::fe")
    reply = world.switch.exchange(WEB, frame, WEB)[-1]
    check_na(reply, ROUTER, WEB_MAC, "fd00:255::fe", "fd00:255::11",
             b"\xe0\0\0\0")


def test_ns_reply_without_option(world):
    frame = frames.ns(WEB_MAC, "fd00:255::11", "fd00:255::31", sll=False)
    reply = world.switch.exchange(WEB, frame, WEB)[-1]
    check_na(reply, ROUTER, WEB_MAC, "fd00:255::31", "fd00:255::11",
             b"\x60\0\0\0", option=False)


def test_ns_reply_to_the_site(world):
    frame = frames.ns(SITE_ROUTER, "2001:db8:1::1", "2001:db8:1::100")
    reply = world.switch.exchange(WAN, frame, WAN)[-1]
    check_na(reply, OUR, SITE_ROUTER, "2001:db8:1::100", "2001:db8:1::1",
             b"\x60\0\0\0")


def test_probes_get_no_answer(world):
    world.assert_dropped(WEB, frames.arp(WEB_MAC, 1, WEB_MAC, "0.0.0.0",
                                         "10.255.0.11"), PROBE)
    world.assert_dropped(WEB, frames.ns(WEB_MAC, "::", "fd00:255::11",
                                        sll=False), PROBE)


@both_families
def test_spoofed(world, v):
    to = HOME[v]["bob"]
    for src_mac, src in ((WEB_MAC, HOME[v]["alice"]),
                         (ALICE_MAC, HOME[v]["web"]),
                         (WEB_MAC, MOBILE[v]["bob"])):
        world.assert_dropped(WEB, frames.udp(src_mac, ROUTER, src, to),
                             SPOOFED)


def test_spoofed_arp(world):
    for sha, spa in ((WEB_MAC, "10.255.0.21"), (ALICE_MAC, "10.255.0.11")):
        world.assert_dropped(WEB, frames.arp(WEB_MAC, 1, sha, spa,
                                             "10.255.0.31"), SPOOFED)


@both_families
def test_unknown_addresses(world, v):
    world.assert_dropped(WAN, frames.udp(SITE_ROUTER, OUR, MOBILE[v]["bob"],
                                         UNKNOWN[v]), UNKNOWN_MOBILE)
    world.assert_dropped(WAN, frames.udp(SITE_ROUTER, OUR, UNKNOWN[v],
                                         MOBILE[v]["web"]), UNKNOWN_SENDER)
    world.assert_dropped(WEB, frames.udp(WEB_MAC, ROUTER, HOME[v]["web"],
                                         UNKNOWN[v]), NO_ROUTE)


def test_others_ports_and_tags(world):
    frame = frames.udp(WEB_MAC, ROUTER, HOME[4]["web"], HOME[4]["bob"])
    world.assert_dropped(OPEN, frame, UNDECLARED)
    tagged = frame[:12] + b"\x81\0\0\x05" + frame[12:]
    world.assert_dropped(WEB, tagged, VLAN)


def test_announcements_reach_the_agent(world):
    rarp = (frames.mac("ff:ff:ff:ff:ff:ff") + frames.mac(WEB_MAC)
            + bytes.fromhex("80350001080006040003")
            + (frames.mac(WEB_MAC) + bytes(4)) * 2)
    gratuitous = frames.arp(WEB_MAC, 1, WEB_MAC, "10.255.0.11", "10.255.0.11")
    first = frames.arp("02:00:00:00:01:55", 1, "02:00:00:00:01:55",
                       "10.255.0.55", "10.255.0.1")
    probe = frames.ns("02:00:00:00:01:55", "::", "fd00:255::55", sll=False)
    world.session("packets")
    for port, frame in ((WEB, rarp), (WEB, gratuitous), (OPEN, first),
                        (OPEN, probe)):
        world.switch.send(port, frame)
        world.session("run", 100)
        in_port, cookie, metadata, table, data = (
            world.session("packets").split(":"))
        assert (in_port, metadata, table) == (str(port), "7", "0")
        assert bytes.fromhex(data).startswith(frame)
        assert cookie.startswith("0x8" if port == WEB else "0x4")


@both_families
def test_agents_packet_goes_through_the_tables(world, v):
    frame = frames.udp(ALICE_MAC, ROUTER, HOME[v]["alice"], HOME[v]["bob"])
    before = len(world.switch.sent(WAN))
    world.session("packet-out", ALICE, 0xfff9, frame.hex())
    wait_for(lambda: len(world.switch.sent(WAN)) > before, what="a frame")
    out = Ip(world.switch.sent(WAN)[-1])
    assert (out.src, out.dst) == (MOBILE[v]["alice"], MOBILE[v]["bob"])


@both_families
def test_ping_the_router(world, v):
    request, reply, proto, router = {
        4: (8, 0, 1, "10.255.0.254"), 6: (128, 129, 58, "fd00:255::fe")}[v]
    body = bytes([request, 0, 0, 0]) + b"\0\1\0\2" + b"payload"
    src, dst = frames.ip(HOME[v]["web"]), frames.ip(router)
    csum = (frames.checksum(body) if v == 4
            else frames.l4_checksum(src, dst, proto, body))
    body = body[:2] + csum.to_bytes(2, "big") + body[4:]
    frame = frames.ip_frame(WEB_MAC, ROUTER, HOME[v]["web"], router, proto,
                            body)
    out = Ip(world.switch.exchange(WEB, frame, WEB)[-1])
    assert (out.eth_src, out.eth_dst) == (ROUTER, WEB_MAC)
    assert (out.src, out.dst, out.ttl) == (router, HOME[v]["web"], 64)
    assert out.body[0] == reply
    assert out.body[4:] == body[4:]
    if v == 4:
        assert frames.checksum(out.body) == 0


@both_families
def test_errors_of_routers_reach_the_agent(world, v):
    proto, kind, router = {4: (1, 11, "203.0.113.1"),
                           6: (58, 3, "2001:db8:77::1")}[v]
    quote = frames.udp(OUR, OUR, MOBILE[v]["web"], MOBILE[v]["bob"])[14:]
    frame = frames.ip_frame(SITE_ROUTER, OUR, router, MOBILE[v]["web"], proto,
                            bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + quote)
    world.session("packets")
    world.switch.send(WAN, frame)
    world.session("run", 100)
    in_port, cookie, metadata, table, data = (
        world.session("packets").split(":"))
    assert (in_port, cookie, metadata, table) == (
        str(WAN), "0x600000000000000", "7", "6")
    assert frames.ip(HOME[v]["web"]) in bytes.fromhex(data)


def test_time_to_live_ends(world):
    frame = frames.udp(WEB_MAC, ROUTER, HOME[4]["web"], HOME[4]["bob"], ttl=1)
    before = len(world.switch.sent(WAN))
    world.switch.send(WEB, frame)
    world.session("run", 100)
    assert len(world.switch.sent(WAN)) == before


def test_hold_and_witness(world):
    """Last: it changes the world."""
    world.apply("here web port=3 mobile=198.18.1.100,2001:db8:1::100 hold\n"
                "out bob away gen=2 mobile=198.18.3.100,2001:db8:3::100 "
                "witness\n")
    world.sync()
    for v in (4, 6):
        # Held from elsewhere, and from here.
        far = frames.udp(SITE_ROUTER, OUR, MOBILE[v]["bob"],
                         MOBILE[v]["web"])
        near = frames.udp(ALICE_MAC, ROUTER, HOME[v]["alice"],
                          HOME[v]["web"])
        for port, frame, sender in ((WAN, far, "bob"), (ALICE, near,
                                                        "alice")):
            out = Ip(world.switch.exchange(port, frame, HOLD)[-1])
            assert (out.eth_src, out.eth_dst) == ("02:57:01:00:00:07",
                                                  WEB_MAC)
            assert (out.src, out.dst) == (HOME[v][sender], HOME[v]["web"])

        # A witness beside the packet itself.
        frame = frames.udp(ALICE_MAC, ROUTER, HOME[v]["alice"],
                           HOME[v]["bob"])
        before = len(world.switch.sent(HOLD))
        out = Ip(world.switch.exchange(ALICE, frame, WAN)[-1])
        assert (out.eth_src, out.eth_dst) == (OUR, SITE_ROUTER)
        assert out.dst == {4: "198.18.3.100", 6: "2001:db8:3::100"}[v]
        wait_for(lambda: len(world.switch.sent(HOLD)) > before, what="copy")
        copy = Ip(world.switch.sent(HOLD)[-1])
        assert copy.eth_src == "02:57:02:00:00:07"
        assert (copy.src, copy.dst) == (HOME[v]["alice"], HOME[v]["bob"])


def test_fresh_session_finds_nothing_to_do(world):
    """The switch describes each flow as we do."""
    world.session.close()
    world.session = Session(world.switch)
    world.apply("")
    world.session("complete")
    assert world.session("up") == "up"
    world.sync()
    assert world.session.counters()["flow_mods"] == 0
