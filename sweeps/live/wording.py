"""A board in words: the phrases that the table and the plain lines share."""

from __future__ import annotations

from analysis.wording import points
from sweeps.live.board import Board, RunningJob
from sweeps.live.names import listed
from sweeps.status.worker_time import duration

MOST_NAMED = 2
"""Jobs, places or failures that one line names."""


def counts_text(board: Board) -> str:
    """How many trials are done, running and failed, and paused if some are."""
    counts = f"{board.done}/{board.trials} done, {board.running} running, {board.failed} failed"
    return f"trials {counts}" + (f", {board.paused} paused" if board.paused else "")


def left_text(board: Board, why: bool = True) -> str:
    """The time left, and why it has changed by much."""
    if board.left is None:
        return "time left not known before the first epoch"
    if board.has_ended:
        return "0 s left"
    reason = f" ({board.why})" if board.why and why else ""
    return f"about {duration(max(1.0, board.left))} left{reason}"


def job_text(job: RunningJob) -> str:
    """One running job: what, for which trials, and its last values."""
    return " ".join([job.work, job.trials, *values_text(job)])


def values_text(job: RunningJob) -> list[str]:
    """The epoch, loss and validation AUC of a job, as far as they are known; else its time."""
    if not job.epochs:
        return [f"for {duration(job.seconds)}"]
    loss, auc = loss_text(job.loss), auc_text(job.auc)
    known = (("loss", loss), ("AUC", auc))
    return [f"epoch {job.epoch}/{job.epochs}", *(f"{name} {text}" for name, text in known if text)]


def loss_text(loss: float | None) -> str:
    """A loss with four digits; empty if unknown."""
    return "" if loss is None else f"{loss:#.4g}"


def auc_text(auc: float | None) -> str:
    """An AUC in points; empty if unknown."""
    return "" if auc is None else points(auc)


def running_text(board: Board) -> str:
    """The first running jobs in one line; empty without any."""
    hidden = len(board.jobs) + board.more_jobs - MOST_NAMED
    named = "; ".join(job_text(job) for job in board.jobs[:MOST_NAMED])
    return f"{named}; and {hidden} more" if hidden > 0 else named


def best_text(board: Board) -> str:
    """The best configuration so far; empty before the first."""
    if not board.front:
        return ""
    return f"best so far on validation: {board.front[0].label}: {board.front[0].values}"


def front_text(board: Board) -> str:
    """The other configurations on the front so far; empty without any."""
    others = [place.label for place in board.front[1:]]
    if not others:
        return ""
    rest = board.front_size - 1
    named = listed(others + ["?"] * (rest - len(others)))
    return f"front so far: {board.front_size} of {board.judged} configurations, also {named}"
