"""ip_send.py TO PACKET...: sends IPv4 packets, given as hexadecimal digits, from whomever."""
import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
    for packet in sys.argv[2:]:
        sock.sendto(bytes.fromhex(packet), (sys.argv[1], 0))
