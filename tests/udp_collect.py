"""udp_collect.py PORT: prints from where each datagram comes, until one says "end"."""
import socket
import sys

sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
sock.bind(("::", int(sys.argv[1])))
sock.settimeout(20)
print("ready", flush=True)
data = b""
while data != b"end":
    data, source = sock.recvfrom(2000)
    print(source[0].removeprefix("::ffff:"), data.decode(), flush=True)
