"""Which failures of a worker mean that it, or one of its companions, is gone.

Everything else that ends a training would end it again, and a study is told of it at once.
"""

from __future__ import annotations

LOSSES = {
    # Ray's: a process or its node has ended, or does not answer.
    *("RayActorError", "NodeDiedError", "ObjectLostError"),
    *("WorkerHealthCheckTimeoutError", "CollectiveTimeoutError"),
    # torch.distributed's, of NCCL and of the place where workers meet. NCCL tells misuse likewise:
    # that is tried again a few times, which costs less than a lost node taken for a bug.
    "DistError",
}
"""Exceptions by name, their subclasses too: Ray Train's are private, and a driver is spared torch.
"""
BROKEN_OFF = (
    "gloo/transport/",  # where gloo's own words come from, whatever they are
    "Connection closed by peer",
    "Connection reset by peer",
    "Connection refused",
    "Broken pipe",
    "Timed out waiting",
    "Application timeout caused pair closure",
)
"""What gloo says of a companion that is gone: in a plain RuntimeError, as torch's own bugs do."""


def is_loss(error: Exception) -> bool:
    """Whether from the last checkpoint, with all workers, training may well go on."""
    # What Ray Train met when it asked the worker how it goes: its end, or what it could not send.
    met = getattr(error, "health_check_failure", error)
    if any(kind.__name__ in LOSSES for kind in type(met).__mro__):
        return True
    return type(met) is RuntimeError and any(words in str(met) for words in BROKEN_OFF)
