"""Identity is content: fingerprints, recipes, refused keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fairfm_core.config.adaptation import EndToEnd
from fairfm_core.config.fingerprint import canonical_json, fingerprint
from fairfm_core.config.trial import Trial
from fairfm_core.seeding import stream, stream_seed

TRIAL: dict[str, Any] = {
    "backbone": {"name": "test_vit"},
    "adaptation": {"method": "end_to_end", "recipe": "smoke"},
    "data": {"dataset": "anywhere"},
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), JSON))
def test_fingerprint_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(list(value.items())))
    assert fingerprint(value) == fingerprint(turned)
    assert canonical_json(value) == canonical_json(turned)


def test_a_recipe_is_its_fields_and_not_its_name() -> None:
    by_name = Trial.model_validate(TRIAL)
    assert isinstance(by_name.adaptation, EndToEnd)
    spelt_out = {**TRIAL, "adaptation": by_name.adaptation.model_dump(mode="json")}
    assert Trial.model_validate(spelt_out).content() == by_name.content()


def test_a_study_may_set_any_field_of_a_recipe() -> None:
    changed = {**TRIAL, "adaptation": {**TRIAL["adaptation"], "epochs": 3}}
    adaptation = Trial.model_validate(changed).adaptation
    assert (adaptation.epochs, adaptation.batch_size) == (3, 16)


def test_defaults_stay_out_of_the_identity() -> None:
    explicit = {**TRIAL, "weights": "scratch", "seed": 0}
    assert Trial.model_validate(explicit).content() == Trial.model_validate(TRIAL).content()


def test_records_are_immutable_and_refuse_unknown_keys() -> None:
    trial = Trial.model_validate(TRIAL)
    with pytest.raises(ValidationError):
        trial.seed = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Trial.model_validate({**TRIAL, "sed": 3})


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean 'smoke'"):
        Trial.model_validate({**TRIAL, "adaptation": {"method": "end_to_end", "recipe": "smok"}})


def test_streams_are_independent_of_each_other() -> None:
    assert stream_seed(0, "order", 1) != stream_seed(0, "order", 11)
    assert stream_seed(0, "order", 1, 1) != stream_seed(0, "order", 11)
    assert stream_seed(0, "a", "b") != stream_seed(0, "ab")
    first = stream(0, "order").random(3)
    stream(0, "another").random(100)
    assert (stream(0, "order").random(3) == first).all()
