"""What of an adaptation decides on its network."""

from __future__ import annotations

from fairfm_core.config.adaptation import SCHEDULE, EndToEnd, LinearProbe, without_schedule

NETWORK = {
    "method",
    *("batch_size", "micro_batch", "checkpoint_activations", "ema_decay", "precision"),
    *("drop_path", "pool", "normalise", "views", "loss"),
    *("channels_last", "compile", "deterministic"),
}


def test_every_field_belongs_to_the_schedule_or_to_the_network() -> None:
    """A new field must be put on one side."""
    fields = EndToEnd.model_fields.keys() | LinearProbe.model_fields.keys()
    assert fields == NETWORK | SCHEDULE
    assert not NETWORK & SCHEDULE


def test_rates_make_no_other_network_and_drop_path_does() -> None:
    tuned = EndToEnd(method="end_to_end", base_lr=1e-3, epochs=7, drop_path=0.1)
    other = EndToEnd(method="end_to_end", weight_decay=0.3, drop_path=0.1)
    assert without_schedule(tuned) == without_schedule(other)
    dropped = EndToEnd(method="end_to_end", drop_path=0.2)
    assert without_schedule(tuned) != without_schedule(dropped)
