"""Fault points: an agent that is told to holds a migration where its name says."""
import os
import subprocess
import time

import pytest

from conftest import RUN, build_has
from labkit import end_of, lossless, migration, monitors, only_copy, part
from storekit import wait_for

pytestmark = pytest.mark.skipif(
    not build_has("watari-agent", "watari-manager", "watari-probe", "mini"),
    reason="not everything is built")

SITES = """
sites:
  north: { wan: 198.18.1.0/24, pool: 198.18.1.100-198.18.1.199, hosts: [a1] }
  south: { wan: 198.18.2.0/24, pool: 198.18.2.100-198.18.2.199, hosts: [b1] }
networks:
  blue: { prefix: 10.255.0.0/24, gateway: 10.255.0.254 }
vms:
  web1: { host: a1, network: blue, address: 10.255.0.11, memory: 128M }
endpoints:
  anna: { host: a1, network: blue, address: 10.255.0.21 }
"""


def fault(lab, host, *words):
    """Gives an agent an order; returns whether it obeyed, and what it said."""
    socket = RUN / lab.lab / host / "agent.ctl"
    result = subprocess.run(["ovs-appctl", "-t", socket, "watari/fault", *words], text=True,
                            capture_output=True, timeout=10, check=False)
    return result.returncode == 0, result.stdout + result.stderr


def wait_held(lab, host, point):
    wait_for(lambda: f"{point} held" in fault(lab, host, "show")[1], 30, f"holding at {point}")


def statuses(lab):
    return {monitor.host: monitor.status() for monitor in monitors(lab, "web1")}


def test_points(make_lab):
    """Held, cancelled, let go, killed."""
    lab = make_lab("test-faults", SITES, "--test-faults")
    assert fault(lab, "a1", "set", "nowhere", "hold") == \
        (False, '"nowhere" is not one of the points copy, stop, pre-switchover, continued, '
         'granted\novs-appctl: ' + f'{RUN / lab.lab}/a1/agent.ctl: server returned an error\n')
    assert not fault(lab, "a1", "release")[0]

    with lossless(lab, ("anna", "10.255.0.11", 1000)):
        # At the last moment in which it can be cancelled.
        assert fault(lab, "a1", "set", "pre-switchover", "hold")[0]
        uuid = lab.json("vm", "migrate", "web1", "--to", "b1", "--detach")["uuid"]
        wait_held(lab, "a1", "pre-switchover")
        assert statuses(lab)["a1"].startswith("paused")
        lab("migration", "cancel", uuid)
        assert fault(lab, "a1", "release")[0]
        assert end_of(lab, uuid)["state"] == "rolled-back"
        assert only_copy(lab, "web1") == "a1"

        # After the grant it runs there, whatever happens here.
        assert fault(lab, "a1", "set", "granted", "hold")[0]
        uuid = lab.json("vm", "migrate", "web1", "--to", "b1", "--detach")["uuid"]
        wait_held(lab, "a1", "granted")
        wait_for(lambda: statuses(lab)["b1"] == "running", 5, "the VM")
        assert fault(lab, "a1", "release")[0]
        assert end_of(lab, uuid)["state"] == "completed"
        assert only_copy(lab, "web1") == "b1"

    agent = part(lab, "b1", "agent")
    assert fault(lab, "b1", "set", "copy", "kill")[0]
    uuid = lab.json("vm", "migrate", "web1", "--to", "a1", "--detach")["uuid"]
    wait_for(lambda: not os.path.exists(f"/proc/{agent}"), 30, "the agent's death")
    time.sleep(0.5)
    lab("lab", "restart", "b1", "agent")
    assert end_of(lab, uuid)["state"] == "rolled-back"
    assert only_copy(lab, "web1") == "b1"
