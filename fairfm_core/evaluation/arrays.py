"""Array types of the evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int32]
"""Places of images, units or cells in the rows of another array."""
Counts = npt.NDArray[Any]
"""Whole numbers without a sign, of 8 to 64 bits: as narrow as the largest sum allows."""
