"""Permuted groups: what group labels would look like if they did not matter.

Array suffixes: N images, n images with a group, U units that are permuted, R (or B) permutations.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fairfm_core.evaluation.groups import Groups
from fairfm_core.evaluation.problem import Problem
from fairfm_core.evaluation.protocols.weighting import Permuted
from fairfm_core.seeding import stream


def permuted_groups(problem: Problem, groups: Groups) -> Permuted:
    """Group labels shuffled `settings.permutations` times over patients or (patient, group) pairs.

    A patient's images stay together. For an attribute that varies within a patient, such as age,
    the unit that is permuted is the (patient, group) pair: the patient's images in that group.
    Images of no group are left out. All pathologies and seeds share the permutations.
    """
    settings = problem.settings
    member_n = np.flatnonzero(groups.code_N >= 0)
    pair_n = problem.sample.patient_N[member_n] * len(groups.names) + groups.code_N[member_n]
    pairs_U, unit_n = np.unique(pair_n, return_inverse=True)
    unit_N = np.full(len(groups.code_N), -1, dtype=np.int64)
    unit_N[member_n] = unit_n
    code_U = (pairs_U % max(1, len(groups.names))).astype(np.int16)
    shuffled = code_U.tobytes(), settings.permutations, settings.seed, groups.attribute
    return Permuted(groups, unit_N, _shuffled(*shuffled))


@lru_cache(maxsize=8)
def _shuffled(codes: bytes, permutations: int, seed: int, attribute: str) -> npt.NDArray[np.int16]:
    """Permutations of the codes; the trials of a study share them, so the last ones are kept."""
    random = stream(seed, "permutation", attribute)
    code_U = np.frombuffer(codes, dtype=np.int16)
    code_RU = random.permuted(np.tile(code_U, (permutations, 1)), axis=1)
    code_RU.flags.writeable = False
    return code_RU


def with_observed(permuted: Permuted) -> Permuted:
    """The permutations, and after them the groups as they are: how the null would see the data."""
    inside_n = np.flatnonzero(permuted.unit_N >= 0)
    code_U = np.zeros(permuted.code_BU.shape[1], dtype=np.int16)
    code_U[permuted.unit_N[inside_n]] = permuted.groups.code_N[inside_n]
    return replace(permuted, code_BU=np.concatenate([permuted.code_BU, code_U[None]]))
