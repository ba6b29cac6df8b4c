"""A pass over batches: the same outputs whoever computes them, and none is lost with a process."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fairfm_core.cores import cores_lent
from fairfm_core.training import shared_pass
from fairfm_core.training.shared_pass import Compute, PassOutputs, compute_missing

SIZES = [3] * 20 + [1]


@pytest.fixture(autouse=True)
def any_pass_is_worth_help(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shared_pass, "HELP_SECONDS", 0.0)
    monkeypatch.setattr(shared_pass, "ASK_SECONDS", 0.0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def who(batch: int) -> Tensor:
    """The number of the batch and the process that has computed it."""
    time.sleep(0.01)
    return torch.tensor([[float(batch), float(os.getpid())]]).repeat(SIZES[batch], 1)


def computed(compute: Compute, lent: list[int], helped: bool = True) -> PassOutputs:
    """A whole pass, in which the last of `lent` is lent for the rest of it."""
    outputs, asked = PassOutputs(SIZES), []

    def lend(used: int, most: int) -> int:
        asked.append((used, most))
        return min(most, lent[min(len(asked), len(lent)) - 1])

    with cores_lent(lend):
        compute_missing(compute, outputs, helped=helped, between=lambda: None)
    assert not outputs.missing
    expected = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    assert torch.equal(outputs.values[:, 0], expected.float())
    if asked:
        assert asked[-1] == (0, 0) or max(lent) == 0  # all was given back
    return outputs


def processes(outputs: PassOutputs) -> set[int]:
    return set(outputs.values[:, 1].int().tolist())


def test_borrowed_cores_share_the_pass() -> None:
    found = processes(computed(who, [2]))
    assert os.getpid() in found
    assert len(found) == 3


@pytest.mark.parametrize("helped", [False, True])
def test_nothing_is_forked_where_nothing_is_lent(helped: bool) -> None:
    assert processes(computed(who, [0 if helped else 2], helped)) == {os.getpid()}


def test_its_own_threads_are_processes_of_one_thread() -> None:
    torch.set_num_threads(2)
    assert len(processes(computed(who, [0]))) == 2
    assert torch.get_num_threads() == 2


def test_a_core_that_is_wanted_back_is_given_back() -> None:
    outputs = computed(who, [1, 0])
    (helper,) = processes(outputs) - {os.getpid()}
    last = outputs.values[outputs.values[:, 1] == helper][-1]
    assert last[0] < 10


def test_the_batch_of_a_killed_process_is_computed_again() -> None:
    parent = os.getpid()

    def killed(batch: int) -> Tensor:
        if os.getpid() != parent:
            os.kill(os.getpid(), 9)
        return who(batch)

    assert processes(computed(killed, [2])) == {parent}


def test_a_helper_killed_while_it_takes_a_number_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_pass, "LOCK_SECONDS", 0.1)
    parent, take = os.getpid(), shared_pass._Crew.take

    def killed(crew: shared_pass._Crew) -> int | None:
        if os.getpid() != parent:
            crew._lock.acquire()
            os.kill(os.getpid(), 9)
        return take(crew)

    monkeypatch.setattr(shared_pass._Crew, "take", killed)
    assert processes(computed(who, [1])) == {parent}


def test_an_error_is_that_of_this_process() -> None:
    def failing(batch: int) -> Tensor:
        if batch == 7:
            raise ValueError("changed pixels")
        return who(batch)

    with pytest.raises(ValueError, match="changed pixels"):
        computed(failing, [2])


def test_little_memory_allows_no_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pass, "available_memory", lambda: 1)
    monkeypatch.setattr(shared_pass, "held_memory", lambda: 1)
    assert processes(computed(who, [2])) == {os.getpid()}


def test_what_was_done_is_taken_up() -> None:
    first, second = PassOutputs(SIZES), PassOutputs(SIZES)
    for batch in (0, 4, 20):
        first.put(batch, who(batch))
    state = first.state_dict()
    assert len(state["outputs"]) == 7
    second.load_state_dict(state)
    assert second.missing == [n for n in range(len(SIZES)) if n not in (0, 4, 20)]
    compute_missing(who, second, helped=False, between=lambda: None)
    assert second.values[:, 0].unique().tolist() == list(range(len(SIZES)))


def test_batches_of_other_sizes_are_computed_anew() -> None:
    first, second = PassOutputs(SIZES), PassOutputs([6] * 10 + [1])
    first.put(0, who(0))
    second.load_state_dict(first.state_dict())
    assert len(second.missing) == 11
