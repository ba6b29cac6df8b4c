"""A search as a database of Optuna, for optuna-dashboard and other programs."""

from __future__ import annotations

from pathlib import Path

from fairfm_core.errors import BadInput
from sweeps.found.reading import SearchReading
from sweeps.search.sampling import optuna_distribution, optuna_trial, quiet_optuna


def export_optuna(reading: SearchReading, path: Path) -> list[str]:
    """Write each search as a study of a new SQLite file; returns the studies' names.

    Raises BadInput for a file that exists: nothing of somebody else's is overwritten.
    """
    import optuna

    if path.exists():
        raise BadInput(f"{path} exists: name a new file, or remove it")
    names = []
    assert reading.study.search is not None
    with quiet_optuna():
        for searched in reading.searches:
            name = f"{reading.study.study}.{searched.cell}"
            study = optuna.create_study(
                storage=f"sqlite:///{path}",
                study_name=name,
                directions=["maximize" if o.maximised else "minimize" for o in reading.objectives],
            )
            study.set_metric_names(reading.metrics)
            limits = reading.study.search.constraints
            tried = reading.history.tried(searched, reading.objectives, limits)
            spaces = {each.name: optuna_distribution(each) for each in searched.space.parameters}
            study.add_trials([optuna_trial(each, spaces) for each in tried])
            names.append(name)
    return names
