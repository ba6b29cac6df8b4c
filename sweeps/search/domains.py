"""The values that a searched parameter may take: a range of numbers, or values by label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError, model_validator

from fairfm_core.config.frozen import Frozen
from fairfm_core.config.yaml_input import faults_of
from fairfm_core.errors import BadInput, did_you_mean, first_ten

Label = str
Choice = float | int | Label
"""A chosen number, or the label of a chosen value."""
DIGITS = 4
"""Significant digits of a suggested number: what is run is what is read, and no noise hides
behind the fifth digit of a learning rate."""


class Range(Frozen):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Whether the logarithm is searched evenly: for learning rates and other scales."""
    whole: bool = Field(False, alias="int")
    """Written `int`: whole numbers only."""
    step: float | None = Field(None, gt=0)
    """Distance between neighbouring values, from `low` on."""

    @model_validator(mode="after")
    def _possible(self) -> Range:
        if self.low >= self.high:
            raise BadInput(
                f"low {self.low:g} must be below high {self.high:g}; write a single value in base"
            )
        if self.log and self.low <= 0:
            raise BadInput(
                f"low {self.low:g} has no logarithm: use a low above 0, or leave log out"
            )
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise BadInput(f"{self.low:g} to {self.high:g}: int needs a whole low and high")
        if self.step is not None:
            self._check_step(self.step)
        return self

    def _check_step(self, step: float) -> None:
        if self.log:
            raise BadInput("step and log cannot be combined; list the values instead")
        if step > self.high - self.low:
            raise BadInput(f"step {step:g} is wider than {self.low:g} to {self.high:g}")
        if self.whole and not step.is_integer():
            raise BadInput(f"step {step:g} is not whole although int is set")

    @property
    def stride(self) -> float | None:
        """Distance between neighbouring values; None where any number may be taken."""
        return self.step or (1.0 if self.whole else None)

    @property
    def size(self) -> float:
        """How many values there are; infinite for a continuous range."""
        if self.stride is None:
            return math.inf
        return math.floor((self.high - self.low) / self.stride + 1e-9) + 1

    def at(self, share: float) -> Choice:
        """The value at a share in 0..1 of the range, evenly or on the logarithm."""
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        elif self.stride is not None:
            return self.nearest(self.low + self.stride * min(int(share * self.size), self.size - 1))
        else:
            value = self.low + share * (self.high - self.low)
        return self.nearest(value)

    def share(self, choice: Choice) -> float:
        """Where in the range a choice lies, 0 to 1: evenly or on the logarithm."""
        if self.log:
            return math.log(float(choice) / self.low) / math.log(self.high / self.low)
        return (float(choice) - self.low) / (self.high - self.low)

    def nearest(self, value: float) -> Choice:
        """The nearest value of the range, with `DIGITS` significant digits."""
        if self.stride is not None and not self.log:
            value = self.low + self.stride * round((value - self.low) / self.stride)
        if self.whole:
            return int(min(max(round(value), self.low), self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def holds(self, choice: Choice) -> bool:
        """Whether a choice, perhaps of another search, lies in the range."""
        if isinstance(choice, str) or (self.whole and not float(choice).is_integer()):
            return False
        return self.low <= choice <= self.high

    def chosen(self, given: Any, name: str) -> Choice:
        """A value that a user gives for a first point; raises BadInput outside the range."""
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise BadInput(f"{name}: {given!r} is not a number") from None
        if not self.low <= number <= self.high:
            raise BadInput(f"{name}: {number:g} is outside {self.text()}")
        return int(number) if self.whole else number

    def text(self) -> str:
        """The range in words."""
        notes = ["log"] * self.log + ["whole"] * self.whole
        notes += [f"step {self.step:g}"] if self.step is not None else []
        return f"{self.low:g} to {self.high:g}" + (f" ({', '.join(notes)})" if notes else "")


@dataclass(frozen=True)
class Labelled:
    """Values by their labels, in the order in which they were given."""

    values: Mapping[Label, Any]

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def at(self, share: float) -> Choice:
        """The label at a share in 0..1 of their order."""
        return list(self.values)[min(int(share * len(self.values)), len(self.values) - 1)]

    def share(self, choice: Choice) -> float:
        """Where in the order of the labels a choice lies, 0 to 1."""
        return list(self.values).index(str(choice)) / (len(self.values) - 1)

    def holds(self, choice: Choice) -> bool:
        """Whether a choice, perhaps of another search, is one of the labels."""
        return choice in self.values

    def chosen(self, given: Any, name: str) -> Choice:
        """The label that a user gives for a first point; raises BadInput for an unknown one."""
        if str(given) not in self.values:
            raise BadInput(
                f"{name}: {given!r} is not one of its labels"
                f"{did_you_mean(str(given), self.values)}: {first_ten(self.values)}"
            )
        return str(given)

    def text(self) -> str:
        """The labels in words."""
        return " | ".join(self.values)


Domain = Range | Labelled


def is_range(given: Any) -> bool:
    """Whether raw values are those of a range, not of labels."""
    return isinstance(given, Mapping) and bool({"low", "high"} & given.keys())


def read_range(given: Mapping[str, Any], name: str) -> Range:
    """The range of a parameter; raises BadInput, naming it."""
    try:
        return Range.model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(faults_of(Range, error)).replace(", whole", ", int")
        raise BadInput(f"{name}: {faults}") from None


def read_labelled(given: Any, name: str) -> Labelled:
    """The values of a categorical parameter; raises BadInput for fewer than two or repeated ones.

    A list is labelled with the text of its values.
    """
    if isinstance(given, Mapping):
        values = {str(label): value for label, value in given.items()}
    elif isinstance(given, list | tuple):
        if unlabelled := [value for value in given if isinstance(value, Mapping)]:
            raise BadInput(
                f"{name}: values that are mappings, such as {unlabelled[0]}, need labels"
            )
        values = {str(value): value for value in given}
        if len(values) < len(given):
            raise BadInput(f"{name} lists a value twice: {list(given)}")
    else:
        raise BadInput(
            f"{name}: {given!r} is no space; write {{low: ..., high: ...}}, a list of values, or a "
            "mapping of labels to values"
        )
    if len(values) < 2:
        raise BadInput(f"{name} has only one value, {', '.join(values) or 'none'}: put it in base")
    return Labelled(values)
