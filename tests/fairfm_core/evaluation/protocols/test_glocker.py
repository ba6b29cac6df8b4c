"""Protocol glocker: the three draws of the published notebook."""

import numpy as np
import pytest

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions, sample_of
from fairfm_core.evaluation.protocols.glocker import drawable_images
from tests.fairfm_core.evaluation.cohorts import image_weights, pick, unequal_races

SETTINGS = EvaluationSettings(protocols=("resample", "glocker"), replicates=10, metrics=("auc",))
PATHOLOGIES = ("No Finding", "Pleural Effusion", "Edema")


def test_the_three_draws_make_race_groups_alike_and_leave_sex_and_other_labels():
    frame = unequal_races(12_000)
    frame["disease"] = np.where(
        frame["y_Pleural Effusion"] == 1, "PE", np.where(frame["y_No Finding"] == 1, "NF", "other")
    )
    frame["bin"] = np.digitize(frame["age"], [20, 30, 40, 50, 60, 70, 80], right=True)
    multiplicity = image_weights(frame.drop(columns=["disease", "bin"]), "glocker", SETTINGS)[0]
    drawn = frame.loc[np.repeat(frame.index, multiplicity.astype(int))]
    assert len(drawn) == 3 * len(frame)
    np.testing.assert_allclose(drawn["race"].value_counts(normalize=True), 1 / 3, atol=0.02)
    wanted = frame["disease"].value_counts(normalize=True)
    for _, group in drawn.groupby("race"):
        shares = group["disease"].value_counts(normalize=True)
        np.testing.assert_allclose(shares[wanted.index], wanted, atol=0.03)
    for disease, rows in drawn.groupby("disease"):
        ages = frame.loc[frame["disease"] == disease, "age"].mean()
        before = frame[frame["disease"] == disease].groupby("race")["age"].mean()
        after = rows.groupby("race")["age"].mean()
        assert np.ptp(before) > 8
        np.testing.assert_allclose(after, ages, atol=2.5)
    edema = drawn.groupby("race")["y_Edema"].mean()
    assert edema["Black"] > edema["White"] + 0.15
    black = multiplicity[(frame["race"] == "Black").to_numpy()]
    assert black.sum() ** 2 / (black**2).sum() < (black > 0).sum() < black.sum() / 4


def test_the_notebooks_age_bins_have_closed_upper_ends():
    frame = unequal_races(40).assign(race="White")
    frame["age"] = [20.0, 20.5, 30.0, 31.0, 80.0, 81.0] * 6 + [90.0] * 4
    sample = sample_of([frame], "test", PATHOLOGIES)
    assert drawable_images(sample, SETTINGS).age_bin_n[:6].tolist() == [0, 1, 1, 2, 6, 7]


def test_what_glocker_needs_is_said(make_frame):
    with pytest.raises(BadInput, match="no 'Pleural Effusion': use protocol resample"):
        image_weights(make_frame(), "glocker", SETTINGS)
    with pytest.raises(BadInput, match="have no 'race'"):
        image_weights(unequal_races(40).drop(columns="race"), "glocker", SETTINGS)
    nobody = evaluate(Predictions(unequal_races(40).assign(race=None)), SETTINGS)
    glocker = nobody.metrics[nobody.metrics["protocol"] == "glocker"]
    reason = pick(glocker, pathology="Edema", attribute="overall")["reason"]
    assert reason == "no draw: no image has a race, an age and both labels"
    assert nobody.gaps["value"].isna().sum() >= 4
