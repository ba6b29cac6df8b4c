"""`fairfm power`. The work is imported inside it, so that `--help` loads no heavy library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairfm_core.commands.places import LocalPath, OutPath
from fairfm_core.errors import BadInput

if TYPE_CHECKING:
    from fairfm_core.evaluation.power.cohort import PlannedCohort

OF_NUMBERS: dict[str, tuple[Any, str]] = {
    "patients": (click.IntRange(min=2), "Patients of the split."),
    "groups": (str, "Groups and their shares of the patients, such as white=0.8,black=0.2."),
    "prevalence": (
        str,
        "Share of the patients with a finding: one for all groups, or one for each, such as"
        " 0.1,0.05, in the order of --groups.",
    ),
    "images-per-patient": (float, "Images of a patient, on average.  [default: 1]"),
    "pathologies": (
        click.IntRange(min=1),
        "Pathologies over which AUCs are averaged.  [default: 1]",
    ),
}
OF_FOLDER = ("attribute", "pathology")
ASSUMED: dict[str, tuple[Any, float, str]] = {
    "auc": (float, 0.8, "AUC of every group but the lower one."),
    "seeds": (click.IntRange(min=1), 1, "Training runs of each model."),
    "seed-sd": (
        float,
        0.0,
        "Standard deviation of a group's AUC between training runs; 0 leaves it out.",
    ),
    "patient-correlation": (
        float,
        0.5,
        "Correlation of the scores of a patient's images, given their labels.",
    ),
    "model-correlation": (
        float,
        0.5,
        "Correlation of two models' scores of an image, given its label.",
    ),
}


@dataclass(frozen=True)
class CohortOptions:
    """Where the cohort comes from: a prepared folder, or numbers."""

    data: Path | None
    split: str
    attribute: str | None
    pathology: tuple[str, ...]
    numbers: dict[str, Any]
    """By option of `OF_NUMBERS`; None where it was not given."""

    def cohort(self) -> PlannedCohort:
        """The cohort; BadInput for too few options, or for those of both sources."""
        given = [f"--{name}" for name, value in self.numbers.items() if value is not None]
        if self.data is None:
            return self._of_numbers()
        if given:
            raise BadInput(
                f"{given[0]} cannot be combined with {self.data}, whose cohort says it; leave one"
                " of them out"
            )
        from fairfm_core.evaluation.power.cohort import cohort_of_folder

        return cohort_of_folder(self.data, self.attribute or "race", self.split, self.pathology)

    def _of_numbers(self) -> PlannedCohort:
        from fairfm_core.evaluation.power.cohort import cohort_of_numbers

        missing = [f"--{name}" for name in list(OF_NUMBERS)[:3] if self.numbers[name] is None]
        if missing:
            raise BadInput(
                f"{', '.join(missing)} missing: give a folder of `fairfm data prepare`, or"
                " --patients, --groups and --prevalence"
            )
        if self.attribute or self.pathology:
            name = OF_FOLDER[0] if self.attribute else OF_FOLDER[1]
            raise BadInput(f"--{name} needs the folder of a prepared data set before it")
        return cohort_of_numbers(
            self.numbers["patients"],
            shares_of(self.numbers["groups"]),
            [number_of("prevalence", text) for text in self.numbers["prevalence"].split(",")],
            1.0 if (images := self.numbers["images-per-patient"]) is None else images,
            self.numbers["pathologies"] or 1,
        )


def shares_of(text: str) -> dict[str, float]:
    """`white=0.6,black=0.4` as numbers; BadInput for anything else."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, share = (piece.strip() for piece in part.rpartition("="))
        if not name or not equals:
            raise BadInput(f"groups: write each as NAME=SHARE, such as black=0.2, not {part!r}")
        if name in shares:
            raise BadInput(f"groups: {name} is given twice; give each group once")
        shares[name] = number_of("groups", share)
    return shares


def number_of(option: str, text: str) -> float:
    """A number of a list; BadInput for anything else."""
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{option}: {text.strip()!r} is not a number such as 0.2") from None


def _options(command: Any) -> Any:
    for name, (kind, default, text) in reversed(ASSUMED.items()):
        command = click.option(
            f"--{name}", type=kind, default=default, show_default=True, help=text
        )(command)
    for name, (kind, text) in reversed(OF_NUMBERS.items()):
        command = click.option(f"--{name}", type=kind, help=text)(command)
    return command


@click.command()
@click.argument("data", required=False, type=LocalPath(file_okay=False, path_type=Path))
@click.option("--attribute", help="Attribute whose groups are compared, of DATA.  [default: race]")
@click.option(
    "--pathology", multiple=True, metavar="NAME", help="Pathology of DATA; repeat it.  [all]"
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="Split whose patients are counted.",
)
@_options
@click.option("--lower", metavar="GROUP", help="Group with the lower AUC.  [default: the smallest]")
@click.option("--gap", type=float, help="Gap, in AUC (0.05), for which to count patients.")
@click.option(
    "--gap-difference", type=float, help="Difference of two models' gaps, in AUC, likewise."
)
@click.option(
    "--repetitions",
    type=click.IntRange(min=0),
    help="Simulated test sets; 0: formula only.  [default: 2000, of large cohorts down to 400]",
)
@click.option(
    "--seed",
    "random_seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed for the simulation.",
)
@click.option(
    "--out",
    type=OutPath(file_okay=False, path_type=Path),
    default="power",
    show_default=True,
    metavar="FOLDER",
    help="Folder for the files.",
)
def power(
    data: Path | None,
    attribute: str | None,
    pathology: tuple[str, ...],
    split: str,
    lower: str | None,
    gap: float | None,
    gap_difference: float | None,
    repetitions: int | None,
    random_seed: int,
    out: Path,
    **options: Any,
) -> None:
    """What a study can find: the smallest detectable gap, and the patients for a given one.

    The cohort is DATA, a folder of `fairfm data prepare`, or --patients, --groups and --prevalence.
    A gap is detectable if 80 % of studies find it at a level of 5 %: by formula, and by simulated
    test sets. A difference is that of the gaps of two models of the same patients. Writes the
    numbers (power.csv), and a figure of them and of the gaps of fair models over the number of
    patients.
    """
    from analysis.power.findings import PowerRequest, usual_repetitions
    from analysis.power.outputs import write_power
    from fairfm_core.evaluation.power.setting import ModelAssumptions, power_setting
    from fairfm_core.evaluation.power.simulation import Repetitions

    numbers = {name: options[_python(name)] for name in OF_NUMBERS}
    models = ModelAssumptions(**{key: options[key] for key in map(_python, ASSUMED)})
    cohort = CohortOptions(data, split, attribute, pathology, numbers).cohort()
    setting = power_setting(cohort, models, lower)
    count = usual_repetitions(setting) if repetitions is None else repetitions
    request = PowerRequest(setting, split, Repetitions(count, random_seed), gap, gap_difference)
    for text in write_power(request, out):
        click.echo(text)


def _python(option: str) -> str:
    """An option's name as an argument."""
    return option.replace("-", "_")
