"""`fairfm` in a fork of the process that `server.py` is: `python client.py SOCKET ARGUMENTS`.

Imports next to nothing. The fork gets this process's files, folder, environment and cores, and this
process ends as the fork does.
"""

import json
import os
import socket
import sys


def main(place: str, *arguments: str) -> int:
    """Have the command run; returns its exit code."""
    told = {
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        socket.send_fds(server, [b"-"], [0, 1, 2])
        server.sendall(json.dumps(told).encode())
        server.shutdown(socket.SHUT_WR)
        answer = server.makefile().read()
    return int(answer)  # a fork that answers nothing is a fault of the tests


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
