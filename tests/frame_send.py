"""frame_send.py INTERFACE FRAME...: sends frames, given as hexadecimal digits, in order."""
import socket
import sys

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    for frame in sys.argv[2:]:
        sock.send(bytes.fromhex(frame))
