import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from fairfm_core.config.evaluation import EvaluationSettings
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.ensembles.ensemble import COMBINATIONS, ensemble_of
from fairfm_core.evaluation.ensembles.pool import Pool, paired_members
from fairfm_core.evaluation.ensembles.report import reported_on_test
from fairfm_core.evaluation.ensembles.subset_search import search_subsets
from fairfm_core.evaluation.evaluate import evaluate
from fairfm_core.evaluation.predictions import Predictions
from fairfm_core.evaluation.summary import final_metrics, validation_metrics

SETTINGS = EvaluationSettings(replicates=5, metrics=("auc",))
SEX = SETTINGS.model_copy(update={"attributes": ("sex",)})


def pooled(members: dict[str, Predictions]) -> Pool:
    """The pool of `fairfm ensemble`: members in alphabetical order."""
    names = sorted(members)
    return paired_members(names, (members[name] for name in names))


@pytest.fixture
def members(make_frame):
    """Four models of the same validation and test images."""
    return {
        name: Predictions(
            pd.concat(
                [make_frame(300, "val", 3, model=m), make_frame(200, "test", 2, model=m)],
                ignore_index=True,
            )
        )
        for m, name in enumerate(("bit", "mae", "moco", "remedis"))
    }


def change(members, edit):
    """The members with `edit` applied to every table."""
    return {name: Predictions(edit(member.frame.copy())) for name, member in members.items()}


def mean_auc(frame, inside):
    """Mean over pathologies by scikit-learn; NaN if one of them has a single class."""
    aucs = []
    for label in [name for name in frame.columns if name.startswith("y_")]:
        known = inside & frame[label].notna()
        if frame.loc[known, label].nunique() < 2:
            return np.nan
        scores = frame.loc[known, "p_" + label.removeprefix("y_")]
        aucs.append(roc_auc_score(frame.loc[known, label], scores))
    return float(np.mean(aucs))


def plain_values(pool, names, combine, attributes):
    """What a plain loop finds of one ensemble on validation."""
    ensemble = ensemble_of(pool, [pool.names.index(name) for name in names], combine)
    val = ensemble.frame[ensemble.frame["split"] == "val"]
    values = [mean_auc(val, val["split"] == "val")]
    for attribute in attributes:
        means = [mean_auc(val, val[attribute] == g) for g in val[attribute].dropna().unique()]
        values.append(np.ptp(means))  # NaN if any is
    return values


def all_subsets(names):
    return [s for n in range(1, len(names) + 1) for s in itertools.combinations(names, n)]


@pytest.mark.slow
@pytest.mark.parametrize("combine", COMBINATIONS)
def test_every_subset_has_the_numbers_of_a_plain_loop_and_of_evaluate(members, combine):
    pool = pooled(members)
    search = search_subsets(pool, combine, SETTINGS)
    found = {search.members(m): search.value_MO[m] for m in range(len(search.bits_M))}
    assert set(found) == set(all_subsets(pool.names))
    for names, values in found.items():
        expected = plain_values(pool, names, combine, SETTINGS.attributes)
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    for m in range(len(search.bits_M)):
        numbers = validation_metrics(
            evaluate(ensemble_of(pool, search.places(m), combine), SETTINGS)
        )
        for objective, value in zip(search.objectives, search.value_MO[m], strict=True):
            assert abs(numbers[objective.metric] - value) < 1e-12


small = st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(8, 30)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(*small, st.sampled_from(list(COMBINATIONS)))
def test_small_tables_with_ties_unknown_labels_and_images_without_a_group(seed, count, n, combine):
    rng = np.random.default_rng(seed)
    common = {
        "image_id": [f"i{i}" for i in range(n)],
        "patient_id": [f"p{i}" for i in range(n)],
        "split": "val",
        "sex": rng.choice(np.array(["F", "M", None], dtype=object), n, p=[0.45, 0.45, 0.1]),
        "y_Edema": rng.choice([0.0, 1.0, np.nan], n, p=[0.45, 0.45, 0.1]),
    }
    levels = np.array([0.0, 0.25, 0.5, 1.0], dtype=np.float32)
    pool = pooled(
        {
            f"m{m}": Predictions(pd.DataFrame({**common, "p_Edema": rng.choice(levels, n)}))
            for m in range(count)
        }
    )
    expected = {
        names: plain_values(pool, names, combine, ["sex"]) for names in all_subsets(pool.names)
    }
    if np.isnan(list(expected.values())).any() or pool.frame["sex"].nunique() < 2:
        with pytest.raises(BadInput, match=r"is undefined on val|only one group|no group"):
            search_subsets(pool, combine, SEX)
        return
    search = search_subsets(pool, combine, SEX)
    for m in range(len(search.bits_M)):
        np.testing.assert_allclose(
            search.value_MO[m], expected[search.members(m)], rtol=0, atol=1e-12
        )


def bytes_of(search):
    return [a.tobytes() for a in (search.bits_M, search.value_MO, search.front_M)]


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_threads_order_of_members_and_test_rows_change_no_bit(members, combine):
    search = search_subsets(pooled(members), combine, SETTINGS, threads=1)
    for threads in (2, 5):
        again = search_subsets(pooled(members), combine, SETTINGS, threads=threads)
        assert bytes_of(again) == bytes_of(search)
    turned = {
        name: Predictions(members[name].frame.sample(frac=1, random_state=4))
        for name in reversed(members)
    }
    again = search_subsets(pooled(turned), combine, SETTINGS)
    assert again.names == search.names
    assert bytes_of(again) == bytes_of(search)

    def other_test(frame):
        test = frame["split"] == "test"
        frame.loc[test, "y_Edema"] = 1 - frame.loc[test, "y_Edema"]
        frame.loc[test, ["p_Edema", "p_Fracture"]] = np.float32(0.5)
        return frame

    again = search_subsets(pooled(change(members, other_test)), combine, SETTINGS)
    assert bytes_of(again) == bytes_of(search)


def test_the_front_holds_whom_no_other_beats(members):
    search = search_subsets(pooled(members), "probability", SETTINGS)
    losses = search.value_MO * [-1, 1, 1]
    beaten = [
        any((other <= row).all() and (other < row).any() for other in losses) for row in losses
    ]
    assert search.front_M.tolist() == [not each for each in beaten]
    assert sorted(search.front) == np.flatnonzero(search.front_M).tolist()
    aucs = search.value_MO[list(search.front), 0]
    assert (np.diff(aucs) <= 0).all()
    alone = {search.members(m): search.value_MO[m, 0] for m in range(15)}
    single = max((names for names in alone if len(names) == 1), key=alone.get)
    assert search.members(search.best_member) == single


def test_equal_members_are_kept_together(members):
    twins = {"a": members["mae"], "b": members["mae"]}
    search = search_subsets(pooled(twins), "probability", SETTINGS)
    assert search.front_M.tolist() == [True, True, True]
    assert search.members(search.best_member) == ("a",)
    assert [search.members(m) for m in search.front] == [("a",), ("b",), ("a", "b")]


def test_at_most_so_many_members(members):
    pool = pooled(members)
    whole = search_subsets(pool, "logit", SETTINGS)
    for most in (1, 2, 3, 9):
        search = search_subsets(pool, "logit", SETTINGS, most=most)
        kept = [m for m in range(15) if len(whole.places(m)) <= most]
        np.testing.assert_array_equal(search.bits_M, whole.bits_M[kept])
        np.testing.assert_array_equal(search.value_MO, whole.value_MO[kept])
    with pytest.raises(BadInput, match="at most 0 members"):
        search_subsets(pool, "logit", SETTINGS, most=0)


def refused(members, **given):
    chosen = {"combine": "probability", "settings": SETTINGS, **given}
    with pytest.raises(BadInput) as error:
        search_subsets(pooled(members), **chosen)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pools_that_cannot_be_searched_are_refused(members):
    assert "2 to 16 members, not 1" in refused({"mae": members["mae"]})
    many = {f"m{n:02d}": members["mae"] for n in range(17)}
    assert "2 to 16 members, not 17" in refused(many)
    assert "(did you mean 'logit'?)" in refused(members, combine="logt")
    test = change(members, lambda f: f[f["split"] == "test"])
    assert "no rows of split 'val' (they have test)" in refused(test)
    balanced = SETTINGS.model_copy(update={"protocols": ("balanced",)})
    assert "the protocol 'full', not 'balanced'" in refused(members, settings=balanced)
    rase = SETTINGS.model_copy(update={"attributes": ("rase",)})
    assert "(did you mean 'race'?)" in refused(members, settings=rase)
    with pytest.raises(BadInput, match="no members given"):
        pooled({})


@pytest.mark.slow
def test_a_group_without_a_class_is_named_before_the_search(members):
    def healthy(frame):
        frame.loc[(frame["race"] == "Asian") & (frame["split"] == "val"), "y_Edema"] = 0.0
        return frame

    said = refused(change(members, healthy))
    assert "the AUC of Edema in race=Asian is undefined on val (0 positives among" in said
    assert search_subsets(pooled(change(members, healthy)), "probability", SEX).front
    absent = change(members, lambda f: f[(f["race"] != "Asian") | (f["split"] == "test")])
    assert "race=Asian is undefined on val (0 images)" in refused(absent)
    assert "'sex' has only one group, F" in refused(change(members, lambda f: f.assign(sex="F")))
    unknown = change(members, lambda f: f.assign(y_Edema=np.nan))
    assert "Edema in overall=all is undefined on val (0 images)" in refused(unknown)
    strict = SETTINGS.model_copy(update={"min_cases": 100})
    assert "(at least 100 needed)" in refused(members, settings=strict)


@pytest.mark.slow
def test_the_front_is_reported_on_test_with_its_optimism(members):
    pool = pooled(members)
    search = search_subsets(pool, "logit", SETTINGS)
    reported = list(reported_on_test(pool, search, search.front, SETTINGS))
    assert [each.members for each in reported] == [search.members(m) for m in search.front]
    for m, each in zip(search.front, reported, strict=True):
        numbers = final_metrics(evaluate(ensemble_of(pool, search.places(m), "logit"), SETTINGS))
        assert each.val == dict(
            zip(("auc", "gap_sex", "gap_race"), search.value_MO[m].tolist(), strict=True)
        )
        for name, optimism in each.optimism.items():
            assert each.test[name] == numbers[f"test/{name}"]
            assert optimism == each.val[name] - numbers[f"test/{name}"]
        gaps = each.evaluation.gaps
        assert gaps.loc[gaps["split"] == "test", ["lo", "hi", "null_hi"]].notna().all(axis=None)


def test_without_a_test_split_nothing_is_reported_on_test(members):
    pool = pooled(change(members, lambda f: f[f["split"] == "val"]))
    search = search_subsets(pool, "probability", SETTINGS)
    (each,) = reported_on_test(pool, search, search.front[:1], SETTINGS)
    assert each.test == each.optimism == {}
