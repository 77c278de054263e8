"""guest_ask.py ADDRESS LINE: asks a guest's control service; prints the answer."""
import socket
import sys

with socket.create_connection((sys.argv[1], 7007), 20) as guest:
    guest.sendall(f"{sys.argv[2]}\n".encode())
    print(guest.makefile().readline().strip())
