"""The probe hears what is there and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from evoxtral import UserError
from evoxtral.world.speech.audibility import audibility, place
from evoxtral.world.speech.probe import log_mel_statistics, tag_auc

TEXTS = [
    f"{who} {did} the {what}."
    for who in ("We", "They", "I")
    for did in ("saw", "left", "took")
    for what in ("lake", "old house", "road", "red book")
]


def test_statistics_do_not_depend_on_the_level() -> None:
    rng = np.random.default_rng(0)
    audio = (rng.standard_normal(20000) * np.linspace(0.02, 0.2, 20000)).astype(np.float32)
    loud, soft = log_mel_statistics(audio), log_mel_statistics(audio / 4)
    assert loud.shape == soft.shape
    assert np.allclose(loud, soft, atol=0.02)


@pytest.mark.parametrize("audio", [np.zeros(0), np.zeros(500), np.zeros(40000), np.ones(9000)])
def test_statistics_are_always_finite(audio: np.ndarray) -> None:
    assert np.isfinite(log_mel_statistics(audio.astype(np.float32))).all()


def test_auc_of_noise_is_a_half_and_of_signal_is_one() -> None:
    rng = np.random.default_rng(1)
    draw = lambda shift: rng.standard_normal((80, 20)) + shift  # noqa: E731
    assert tag_auc("none", (draw(0), draw(0)), (draw(0), draw(0))).auc == pytest.approx(
        0.5, abs=0.12
    )
    clear = tag_auc("clear", (draw(1), draw(0)), (draw(1), draw(0)))
    assert clear.auc > 0.98
    assert clear.n == 160


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("sad", {"[sad] We left. It rained."}),
        (
            "pause",
            {
                "We [pause] left. It rained.",
                "We left. [pause] It rained.",
                "We left. It [pause] rained.",
            },
        ),
        (
            "laughs",
            {
                "[laughs] We left. It rained.",
                "We left. [laughs] It rained.",
                "We left. It rained. [laughs]",
            },
        ),
    ],
)
def test_place(tag: str, expected: set[str]) -> None:
    seen = {place(tag, "We left. It rained.", np.random.default_rng(seed)) for seed in range(40)}
    assert seen == expected


def test_loud_tags_are_audible_on_unheard_voices() -> None:
    results = audibility(["whispers", "pause"], TEXTS, train_pairs=24, test_pairs=10, workers=2)
    assert [result.tag for result in results] == ["whispers", "pause"]
    assert all(result.auc >= 0.9 and result.n == 20 for result in results)


def test_audibility_never_uses_a_text_twice() -> None:
    with pytest.raises(UserError, match="250 pairs need as many texts, not 36"):
        audibility(["sad"], TEXTS)
