"""`fairfm` or a script in a fork of the process of `server.py`: `python client.py SOCKET NAME ...`.

Imports next to nothing. The fork gets this process's files, folder, environment, cores and signals;
this process ends as the fork does, and the fork is killed as this process is.
"""

import json
import os
import signal
import socket
import sys


def main(place: str, *arguments: str) -> int:
    """Have `fairfm` or the script that the first argument names run; returns its exit code."""
    told = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        socket.send_fds(server, [b"-"], [0, 1, 2])
        server.sendall(json.dumps(told).encode() + b"\n")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
        answer = server.makefile().read()
    return int(answer)  # a fork that answers nothing is a fault of the tests


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
