"""Ethernet frames as bytes, made and read by hand: a second opinion."""

import socket
import struct


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ip(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_pton(family, text)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def l4_checksum(src, dst, proto, data):
    return checksum(src + dst + struct.pack(">II", len(data), proto) + data)


def arp(eth_src, op, sha, spa, tpa, tha="00:00:00:00:00:00",
        eth_dst="ff:ff:ff:ff:ff:ff"):
    return (mac(eth_dst) + mac(eth_src)
            + struct.pack(">HHHBBH", 0x806, 1, 0x800, 6, 4, op)
            + mac(sha) + ip(spa) + mac(tha) + ip(tpa))


def ns(eth_src, src, target, sll=True, eth_dst="33:33:ff:00:00:01",
       dst="ff02::1:ff00:1"):
    body = struct.pack(">BBHI", 135, 0, 0, 0) + ip(target)
    if sll:
        body += b"\1\1" + mac(eth_src)
    csum = l4_checksum(ip(src), ip(dst), 58, body)
    body = body[:2] + struct.pack(">H", csum) + body[4:]
    return ip_frame(eth_src, eth_dst, src, dst, 58, body, 255)


def ip_frame(eth_src, eth_dst, src, dst, proto, body, ttl=64, frag=0):
    if ":" in src:
        return (mac(eth_dst) + mac(eth_src)
                + struct.pack(">HIHBB", 0x86dd, 6 << 28, len(body), proto, ttl)
                + ip(src) + ip(dst) + body)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, frag, ttl,
                         proto, 0) + ip(src) + ip(dst)
    header = header[:10] + struct.pack(">H", checksum(header)) + header[12:]
    return mac(eth_dst) + mac(eth_src) + b"\x08\0" + header + body


def udp(eth_src, eth_dst, src, dst, payload=b"hello", ttl=64):
    body = struct.pack(">HHHH", 1000, 7, 8 + len(payload), 0) + payload
    csum = l4_checksum(ip(src), ip(dst), 17, body)
    body = body[:6] + struct.pack(">H", csum) + body[8:]
    return ip_frame(eth_src, eth_dst, src, dst, 17, body, ttl)


class Ip:
    """What an IP frame says; its checksums must be right."""

    def __init__(self, frame):
        self.eth_dst = frame[:6].hex(":")
        self.eth_src = frame[6:12].hex(":")
        if frame[12:14] == b"\x08\0":
            assert checksum(frame[14:34]) == 0
            length = struct.unpack(">H", frame[16:18])[0]
            self.ttl, self.proto = frame[22], frame[23]
            src, dst, body = frame[26:30], frame[30:34], frame[34:14 + length]
            self.fragment = struct.unpack(">H", frame[20:22])[0] & 0x3fff
            family = socket.AF_INET
        else:
            assert frame[12:14] == b"\x86\xdd"
            length = struct.unpack(">H", frame[18:20])[0]
            self.proto, self.ttl = frame[20], frame[21]
            src, dst, body = frame[22:38], frame[38:54], frame[54:54 + length]
            self.fragment = 0
            family = socket.AF_INET6
        self.src = socket.inet_ntop(family, src)
        self.dst = socket.inet_ntop(family, dst)
        self.body = body
        if self.proto in (17, 58) and not self.fragment:
            assert l4_checksum(src, dst, self.proto, body) == 0
