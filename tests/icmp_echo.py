"""Sends ICMP echo requests: icmp_echo.py ADDRESS [COUNT].  Prints a round trip in ms for
each answer."""
import socket
import struct
import sys
import time


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def main(address, count):
    v6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW,
                         socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    sock.settimeout(2)
    answered = 0
    for seq in range(count):
        request = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 4711, seq)
        if not v6:              # The kernel does it for IPv6.
            request = request[:2] + struct.pack("!H", checksum(request)) + request[4:]
        start = time.monotonic()
        try:
            sock.sendto(request, (address, 0))
            while True:
                reply = sock.recv(2048)[0 if v6 else 20:]
                if reply[0] == (129 if v6 else 0) and reply[4:8] == request[4:8]:
                    break
            answered += 1
            print(f"{1000 * (time.monotonic() - start):.3f}", flush=True)
        except OSError:
            pass
        time.sleep(0.05)
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3))
