"""Run in the place of the agent, with its unit's restrictions: tries what they forbid and what they must allow.

Prints one JSON object: what was tried → "allowed", or the error's name. Without ctypes, which wants to make code.
"""

import errno
import json
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "allowed"


def _write(path: str) -> Callable[[], object]:
    return lambda: Path(path).write_text("x")


def _open(path: str, how: int) -> Callable[[], object]:
    return lambda: os.close(os.open(path, how))


def _make_namespace() -> None:
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        raise PermissionError(errno.EPERM, "unshare")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write its journal": _write("/var/lib/arcade/probe"),
    "write a temporary file": _write("/tmp/probe"),
    "open the GPIO chip": _open("/dev/gpiochip0", os.O_RDWR),
    "connect by IPv4": lambda: socket.socket(socket.AF_INET).close(),
    "talk to systemd": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
    "read its settings": lambda: Path("/etc/arcade/edge.toml").read_text(),
    "write its settings": _write("/etc/arcade/edge.toml"),
    "write a program": _write("/usr/bin/probe"),
    "write to its own program": _write(f"{sys.prefix}/probe"),
    "look into homes": lambda: os.listdir("/root"),
    "read the kernel's log": _open("/dev/kmsg", os.O_RDONLY),
    "see other processes": lambda: os.stat("/proc/1"),
    "read raw memory": _open("/dev/mem", os.O_RDONLY),
    "open a network of another kind": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "make code at run time": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "make a namespace": _make_namespace,
    "become root": lambda: os.setuid(0),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "change its scheduling": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
}

if __name__ == "__main__":
    print(json.dumps({name: _outcome(attempt) for name, attempt in ATTEMPTS.items()}))
