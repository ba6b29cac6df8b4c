"""Groups have the same names in a balanced training set, a summary and an evaluation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairfm_core.data.balancing import balanced_subset, composition
from fairfm_core.data.groups import (
    MOST_GROUPS,
    Grouping,
    bin_names,
    binned,
    combinations,
    grouping,
    has_groups,
)
from fairfm_core.data.summary import cohort_summary, small_groups
from fairfm_core.errors import BadInput
from fairfm_core.evaluation.groups import groups_of

quarters = st.integers(1, 480).map(lambda quarter: quarter / 4)
"""Years from 0.25 to 120, so that edges are hit exactly, whole numbers or not."""
some_edges = st.lists(quarters, min_size=1, max_size=5, unique=True).map(sorted).map(tuple)
some_ages = st.lists(quarters | st.none(), min_size=1, max_size=40)


def cohort(ages: list[float | None]) -> pd.DataFrame:
    """A cohort of the ages; predictions have the same columns that matter here."""
    n = len(ages)
    return pd.DataFrame(
        {
            "image_id": [f"i{k:02d}" for k in range(n)],
            "patient_id": [f"p{k}" for k in range(n)],
            "sex": pd.Series(["F", "M"] * n, dtype="str")[:n],
            "race": pd.Series([None] * n, dtype="str"),
            "age": pd.Series(ages, dtype="float64"),
            "y_Edema": 0.0,
            "split": "train",
        }
    )


def name_by_hand(age: float | None, edges: tuple[float, ...]) -> str | None:
    """The bin of an age, edge by edge."""
    if age is None:
        return None
    return bin_names(edges)[sum(age >= edge for edge in edges)]


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(ages=some_ages, edges=some_edges)
def test_an_age_has_one_group_everywhere(ages, edges) -> None:
    frame = cohort([*ages, edges[0] - 0.25, edges[-1]])  # at least two groups
    expected = [name_by_hand(None if age != age else age, edges) for age in frame["age"]]
    counts = pd.Series(expected, dtype=object).value_counts().to_dict()

    evaluated = groups_of(frame, "age", edges)
    assert [None if c < 0 else evaluated.names[c] for c in evaluated.code_N] == expected

    summary = cohort_summary(frame, edges)
    of_age = summary[(summary["split"] == "train") & (summary["attribute"] == "age")]
    listed = of_age.set_index("group")["images"].drop("unknown", errors="ignore").to_dict()
    assert list(listed) == list(evaluated.names)  # both from young to old
    assert listed == counts

    kept = balanced_subset(frame, "age", edges, 0)
    smallest = min(counts.values())
    held = pd.Series(expected, dtype=object).iloc[kept].value_counts()
    assert held.to_dict() == dict.fromkeys(counts, smallest)

    table = composition(frame, kept, edges)
    assert table.query("attribute == 'age'").set_index("group")["images"].to_dict() == counts
    small = {text.split(" ")[1] for text in small_groups(frame, 1000, edges) if "age" in text}
    assert small == set(counts)


@settings(max_examples=25, deadline=None)
@given(ages=some_ages, edges=some_edges)
def test_combinations_have_one_name_everywhere(ages, edges) -> None:
    frame = cohort([age for age in ages for _ in "FM"] + [edges[0] - 0.25] * 2 + [edges[-1]] * 2)
    evaluated = groups_of(frame, "age x sex", edges)
    assert (
        evaluated.names == combinations([grouping(frame, a, edges) for a in ("age", "sex")]).names
    )
    kept = balanced_subset(frame, ("sex", "age"), edges, 0)
    sizes = np.bincount(evaluated.code_N[evaluated.code_N >= 0])
    assert np.bincount(evaluated.code_N[kept]).tolist() == [sizes.min()] * len(sizes)


def test_bins_are_named_by_their_edges() -> None:
    assert bin_names((40, 60, 80)) == ("<40", "40-59", "60-79", "80+")
    assert bin_names((0.5, 18)) == ("<0.5", "0.5-<18", "18+")


def test_bins_hold_their_lower_edge_and_null_is_in_none() -> None:
    groups = binned(pd.Series([39.9, 40.0, 59.99, 60.0, 80.0, np.nan], index=range(2, 8)), (40, 60))
    assert groups[:5].tolist() == ["<40", "40-59", "40-59", "60+", "60+"]
    assert pd.isna(groups[7])
    assert groups.dtype == "str"


@pytest.mark.parametrize("edges", [(), (60, 40), (40, 40)])
def test_edges_that_do_not_increase_are_refused(edges) -> None:
    with pytest.raises(BadInput, match="one or more in increasing order"):
        grouping(cohort([30.0]), "age", edges)


def test_bins_are_listed_from_young_to_old_whatever_their_digits() -> None:
    frame = cohort([7.0, 50.0, 3.0, 119.0])
    assert grouping(frame, "age", (5, 10, 100)).names == ("<5", "5-9", "10-99", "100+")
    summary = cohort_summary(frame, (5, 10, 100)).query("split == 'all' and attribute == 'age'")
    assert summary["group"].tolist() == ["<5", "5-9", "10-99", "100+"]


def test_values_that_are_not_ages_are_groups_as_they_are() -> None:
    frame = pd.DataFrame({"site": [2.0, 1.0, None], "age": ["old", None, "young"]})
    site = grouping(frame, "site", ())
    assert (site.names, site.code_N.tolist(), site.without) == (("1", "2"), [1, 0, -1], 1)
    age = grouping(frame, "age", (40,))
    assert age.label_N.tolist() == ["old", None, "young"]


def test_a_combination_without_images_is_a_group_of_size_0() -> None:
    frame = pd.DataFrame(
        {"race": ["B", "W", "W", None, None, "W"], "sex": ["F", "F", "M", "M", "F", None]}
    )
    groups = combinations([grouping(frame, name, ()) for name in ("race", "sex")])
    assert groups.attribute == "race x sex"
    assert groups.names == ("B x F", "B x M", "W x F", "W x M")
    assert groups.sizes_G.tolist() == [1, 0, 1, 1]
    assert groups.label_N.tolist() == ["B x F", "W x F", "W x M", None, None, None]
    assert groups.code_N.tolist() == [0, 2, 3, -1, -1, -1]


def test_nothing_known_is_no_group() -> None:
    frame = pd.DataFrame({"site": pd.Series([None, None], dtype="str")})
    site = grouping(frame, "site", ())
    assert (site.names, site.code_N.tolist()) == ((), [-1, -1])
    assert binned(pd.Series([np.nan]), (40,)).dtype == "str"


def test_whole_ages_with_gaps_are_binned() -> None:
    frame = pd.DataFrame({"age": pd.Series([39, None, 40], dtype="Int64")})
    assert grouping(frame, "age", (40,)).label_N.tolist() == ["<40", None, "40+"]


def test_a_column_of_more_values_than_groups_is_a_measurement() -> None:
    frame = pd.DataFrame({"site": range(MOST_GROUPS + 1), "age": range(MOST_GROUPS + 1)})
    assert MOST_GROUPS == 20
    assert has_groups(frame[:-1], "site")
    assert not has_groups(frame, "site")
    assert has_groups(frame, "age")


def test_combinations_of_one_attribute_are_its_groups() -> None:
    frame = pd.DataFrame({"sex": ["F", None, "M"]})
    alone = grouping(frame, "sex", ())
    combined = combinations([alone])
    assert (combined.attribute, combined.names) == ("sex", ("F", "M"))
    assert combined.code_N.tolist() == alone.code_N.tolist() == [0, -1, 1]


def test_a_group_of_no_image_has_size_zero() -> None:
    """As a combination may, also the last one."""
    assert Grouping("x", ("a", "b", "c"), np.array([0, -1, 1, 0])).sizes_G.tolist() == [2, 1, 0]
