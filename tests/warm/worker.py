"""A worker of Ray in a fork of the process that `server.py` is: what Ray starts in place of its own
`setup_worker.py`, which imports Ray twice before the worker has imported anything.

What only Ray's own script can do (a container, another interpreter) is left to it, as is all once
the warm process is gone.
"""

import importlib.util
import json
import os
import sys

import client

CONTEXT = "--serialized-runtime-env-context="
OWN_WORDS = (CONTEXT, "--language=")


def main(*arguments: str) -> int:
    """Be the worker that the arguments describe; returns its exit code."""
    worker = [word for word in arguments if not word.startswith(OWN_WORDS)]
    contexts = [word.removeprefix(CONTEXT) for word in arguments if word.startswith(CONTEXT)]
    context = json.loads(contexts[0] or "{}") if contexts else {}
    if "--language=PYTHON" in arguments and not context.get("command_prefix"):
        os.environ.update(context.get("env_vars") or {})
        try:
            return client.main(os.environ["FAIRFM_TESTS_WARM"], *worker)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
    ray = importlib.util.find_spec("ray")
    script = f"{os.path.dirname(ray.origin)}/_private/workers/setup_worker.py"
    os.execv(sys.executable, [sys.executable, script, *arguments])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
