"""Sends datagrams that nobody answers: udp_send.py FROM TO COUNT."""
import socket
import sys

source, target, count = sys.argv[1:]
sock = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((source, 0))
for _ in range(int(count)):
    sock.sendto(b"x", (target, 9))
