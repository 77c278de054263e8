#!/usr/bin/env python3
"""independent-probe.py [-n NETNS] ADDRESS [SECONDS]: a second opinion.

Sends a UDP packet every millisecond to the echo at ADDRESS, port 7, and says
what did not come back, came twice, or came late.  It shares no code with
watari-probe: sockets and clocks of Python only.  With -n it first enters a
network namespace of /run/netns.  The exit status is 0 if nothing was lost.

    lost        sent, and not answered within a second of the end
    duplicated  answers beyond the first
    reordered   first answers that came after the answer to a later packet
    gap         the longest time without any answer, and when it began
"""
import argparse
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time

PACKET = struct.Struct("!8sQ16x")
MAGIC = b"watari-2"
INTERVAL = 0.001
LINGER = 1.0
CLONE_NEWNET = 0x40000000


def enter(netns):
    with open(f"/run/netns/{netns}", encoding="ascii") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter namespace {netns}")


def probe(address, seconds):
    """Returns when each packet left, and the answers as (time, number)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.connect((address, 7))
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    sent, answers = [], []
    begin = due = time.monotonic()
    end = begin + seconds
    while (now := time.monotonic()) < end + LINGER:
        if now >= due and now < end:
            try:
                sock.send(PACKET.pack(MAGIC, len(sent)))
                sent.append(now)
            except OSError:
                pass            # Nobody answers ARP, for example.
            # Held up by others: go on from here, without a burst.
            due = max(due + INTERVAL, now)
        # Whole milliseconds are all that poll() knows: turn the last one.
        poll.poll(0 if due - now < INTERVAL and now < end else 1)
        try:
            while True:
                data = sock.recv(2000)
                if len(data) == PACKET.size and data.startswith(MAGIC):
                    answers.append((time.monotonic(), PACKET.unpack(data)[1]))
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            pass
    return begin, sent, answers


def analyse(begin, sent, answers):
    seen, highest, duplicated, reordered = set(), -1, 0, 0
    gap, gap_from, last = 0.0, begin, sent[0] if sent else begin
    for when, number in answers:
        duplicated += number in seen
        reordered += number not in seen and number < highest
        seen.add(number)
        highest = max(highest, number)
        if when - last > gap:
            gap, gap_from = when - last, last
        last = when
    return {"sent": len(sent), "lost": len(sent) - len(seen), "duplicated": duplicated,
            "reordered": reordered, "gap_ms": round(gap * 1000, 3),
            "gap_at_s": round(gap_from - begin, 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--netns", help="network namespace to probe from")
    parser.add_argument("address")
    parser.add_argument("seconds", nargs="?", type=float, default=10)
    options = parser.parse_args()
    if options.netns:
        enter(options.netns)
    try:
        os.nice(-10)
    except OSError:
        pass                    # It measures its own waiting a little more.
    result = analyse(*probe(options.address, options.seconds))
    print(json.dumps(result))
    return 1 if result["lost"] or not result["sent"] else 0


if __name__ == "__main__":
    sys.exit(main())
