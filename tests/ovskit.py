"""A switch for tests: a real ovs-vswitchd in a temporary folder, without root.

Its ports are "dummy": packets go in by a command and come out as a file.
"""

import os
import pathlib
import re
import struct
import subprocess

from storekit import BUILD, stop, wait_for

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Switch:
    """One bridge, br0, with the ports p1, p2, ... as OpenFlow ports 1, 2..."""

    def __init__(self, folder, ports=5):
        self.folder = pathlib.Path(folder)
        self.env = {**os.environ, "OVS_RUNDIR": str(self.folder),
                    "OVS_LOGDIR": str(self.folder),
                    "OVS_DBDIR": str(self.folder)}
        self.target = f"unix:{self.folder}/br0.mgmt"
        self.ports = ports
        self.db = self.vswitchd = None
        self.run("ovsdb-tool", "create", self.folder / "conf.db", SCHEMA)
        self.start_db()
        self.start()
        # No controller and "secure": the switch does nothing by itself.
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0",
                   "datapath_type=dummy", "fail_mode=secure",
                   "other-config:hwaddr=02:00:00:00:ff:01")
        for port in range(1, ports + 1):
            self.vsctl("add-port", "br0", f"p{port}", "--", "set",
                       "interface", f"p{port}", "type=dummy",
                       f"ofport_request={port}",
                       f"options:tx_pcap={self.folder}/p{port}.pcap")

    def run(self, *args):
        result = subprocess.run([str(arg) for arg in args], env=self.env,
                                check=False, capture_output=True, text=True)
        assert result.returncode == 0, (args, result.stdout, result.stderr)
        return result.stdout

    def start_db(self):
        socket = self.folder / "db.sock"
        self.db = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{socket}", "--no-chdir",
             f"--unixctl={self.folder}/db.ctl", "-vconsole:off",
             str(self.folder / "conf.db")], env=self.env)
        wait_for(socket.exists, what="ovsdb-server")
        self.run("ovs-vsctl", f"--db=unix:{socket}", "--no-wait", "init")

    def start(self):
        control = self.folder / "vswitchd.ctl"
        control.unlink(missing_ok=True)
        self.vswitchd = subprocess.Popen(
            ["ovs-vswitchd", f"unix:{self.folder}/db.sock", "--no-chdir",
             "--enable-dummy", "--disable-system", "-vconsole:off",
             f"--unixctl={control}",
             f"--log-file={self.folder}/ovs-vswitchd.log"], env=self.env)
        wait_for(control.exists, what="ovs-vswitchd")
        self.vsctl("show")

    def restart(self):
        stop(self.vswitchd)
        self.start()
        wait_for(lambda: "p1" in self.ofctl("show", "br0"), what="ports")

    def stop(self):
        stop(self.vswitchd)
        stop(self.db)

    def vsctl(self, *args):
        return self.run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock",
                        "--timeout=10", *args)

    def ofctl(self, command, bridge, *args):
        return self.run("ovs-ofctl", "-O", "OpenFlow15", command,
                        f"unix:{self.folder}/{bridge}.mgmt", *args)

    def appctl(self, *args):
        return self.run("ovs-appctl", "-t", self.folder / "vswitchd.ctl",
                        *args)

    def flows(self):
        """All flows, without what changes by itself."""
        text = self.ofctl("dump-flows", "br0", "--no-stats")
        return sorted(line.strip() for line in text.splitlines()
                      if "actions=" in line)

    def durations(self):
        """Seconds since each flow was made, by its cookie and match."""
        result = {}
        for line in self.ofctl("dump-flows", "br0").splitlines():
            match = re.search(r"(cookie=\S+) duration=([\d.]+)s, (table=\d+),"
                              r".* (priority=\S+) actions", line)
            if match:
                result[match[1] + match[3] + match[4]] = float(match[2])
        return result

    def send(self, port, frame):
        """Lets 'frame' (bytes) arrive at 'port'."""
        self.appctl("netdev-dummy/receive", f"p{port}", frame.hex())

    def sent(self, port):
        """All frames that left by 'port' since the switch began."""
        data = (self.folder / f"p{port}.pcap").read_bytes()
        frames, at = [], 24
        while at + 16 <= len(data):
            length = struct.unpack_from("=I", data, at + 8)[0]
            frames.append(data[at + 16:at + 16 + length])
            at += 16 + length
        return frames

    def exchange(self, port, frame, out_port):
        """Sends 'frame' and returns what left by 'out_port' for it."""
        before = len(self.sent(out_port))
        self.send(port, frame)
        wait_for(lambda: len(self.sent(out_port)) > before,
                 what=f"a frame from port {out_port}")
        return self.sent(out_port)[before:]

    def trace(self, flow):
        """What the switch would do: the last lines of ofproto/trace."""
        return self.appctl("ofproto/trace", "br0", flow)


class Session:
    """test-switch-driver: openflow/'s functions, one command a line."""

    def __init__(self, switch):
        self.process = subprocess.Popen(
            [BUILD / "src/openflow/test-switch-driver", switch.target],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def counters(self):
        return {key: int(value) for key, value in
                re.findall(r"(\w+)=(\d+)", self("counters"))}

    def close(self):
        self.process.stdin.close()
        stop(self.process)
