"""The probe hears what is there and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.world.speech.audibility import audibility, linear_probe, log_mel_statistics, place

TEXTS = [f"{who} left {n} red books." for who in ("We", "They", "I") for n in range(2, 14)]


def test_statistics_do_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(20000) * np.linspace(0.02, 0.2, 20000)).astype(np.float32)
    assert np.allclose(log_mel_statistics(audio), log_mel_statistics(audio / 4), atol=0.02)


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros(500), np.zeros(40000), np.ones(9000)])
def test_statistics_are_always_finite(audio: np.ndarray) -> None:
    assert np.isfinite(log_mel_statistics(audio.astype(np.float32))).all()


def test_auc_of_noise_is_a_half_and_of_signal_is_one() -> None:
    rng = np.random.default_rng(1)

    def area(shift: float) -> float:
        draw = [rng.standard_normal((80, 20)) + tagged * shift for tagged in (1, 0, 1, 0)]
        return linear_probe((draw[0], draw[1]), (draw[2], draw[3]), 0.02)

    assert area(0) == pytest.approx(0.5, abs=0.12)
    assert area(1) > 0.98


def test_a_tag_is_placed_where_it_makes_sense() -> None:
    def places(tag: str) -> set[str]:
        return {place(tag, "A b. C d.", np.random.default_rng(seed)) for seed in range(40)}

    assert places("sad") == {"[sad] A b. C d."}
    assert places("pause") == {"A [pause] b. C d.", "A b. [pause] C d.", "A b. C [pause] d."}
    assert places("gasps") == {"[gasps] A b. C d.", "A b. [gasps] C d.", "A b. C d. [gasps]"}


def test_loud_tags_are_audible_on_unheard_voices() -> None:
    pairs = {"train_pairs": 24, "test_pairs": 10, "seed": 0}
    found = audibility(["whispers", "pause"], TEXTS, **pairs, workers=2)
    assert found["tag"].tolist() == ["whispers", "pause"]
    assert (found["auc"] >= 0.9).all()
    assert (found["n"] == 20).all()
    with pytest.raises(UserError, match="40 pairs need as many texts, not 36"):
        audibility(["sad"], TEXTS, **{**pairs, "test_pairs": 16})
