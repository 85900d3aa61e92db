"""Which model for which use: only differences that a paired comparison shows."""

from __future__ import annotations

import pytest

from evoxtral import UserError, bench, metrics
from evoxtral.bench import NO_DIFFERENCE, PAPER, STRICT

N = 40
REFERENCES = [f"[sad] one two three [pause] four {k}" for k in range(N)]
WORDS = [f"one two three four {k}" for k in range(N)]  # no tag, no error
TAGS = [f"[sad] one too three [pause] four {k}" for k in range(N)]  # all tags, one error
NEARLY = [*TAGS[:-1], f"one too three [pause] four {N - 1}"]


def _evaluations(**predictions: list[str]) -> dict[str, metrics.Evaluation]:
    return {name: metrics.evaluate(REFERENCES, own) for name, own in predictions.items()}


def test_each_use_gets_the_model_that_is_better_for_it() -> None:
    frame = bench.choose(_evaluations(SFT=WORDS, RL=TAGS))
    assert set(frame["protocol"]) == {PAPER, STRICT}
    for protocol in (PAPER, STRICT):
        rows = frame[frame["protocol"] == protocol].set_index("metric")
        assert rows.loc["WER", "choice"] == "SFT"
        assert rows.loc["Tag F1", "choice"] == "RL"
        assert (rows.loc["WER", "value"], rows.loc["WER", "rival_value"]) == (0, pytest.approx(0.2))
        assert rows.loc["WER", "difference"] == pytest.approx(-0.2)
        assert rows.loc["Tag F1", "text"] == (
            "Tag F1 of RL 100.0%: against SFT (0.0%) +100.0 points [+100.0, +100.0]"
        )


def test_no_choice_without_a_difference_to_every_other() -> None:
    frame = bench.choose(_evaluations(base=WORDS, SFT=TAGS, RL=NEARLY))
    row = frame[(frame["metric"] == "Tag F1") & (frame["protocol"] == STRICT)].iloc[0]
    assert (row["choice"], row["best"], row["rival"]) == (NO_DIFFERENCE, "SFT", "RL")
    assert row["low"] <= 0 < row["difference"]
    assert row["text"].count(NO_DIFFERENCE) == 1
    assert "against base (0.0%) +100.0 points" in row["text"]


def test_equal_models_show_no_difference() -> None:
    frame = bench.choose(_evaluations(a=TAGS, b=list(TAGS)))
    assert set(frame["choice"]) == {NO_DIFFERENCE}


def test_names_are_printed_as_they_are() -> None:
    texts = bench.choose(_evaluations(**{"my-adapter": TAGS, "x": WORDS}))["text"]
    assert texts.str.contains("my-adapter").all()


def test_the_baseline_does_not_compete() -> None:
    systems = _evaluations(SFT=TAGS, RL=NEARLY) | _evaluations(**{"no tags": WORDS})
    assert "no tags" not in set(bench.choose(systems)["best"])
    with pytest.raises(UserError, match="two models"):
        bench.choose(_evaluations(SFT=TAGS) | _evaluations(**{"no tags": WORDS}))


def test_only_the_same_clips_are_compared() -> None:
    other = metrics.evaluate(REFERENCES[1:], TAGS[1:])
    with pytest.raises(UserError, match="same clips"):
        bench.choose(_evaluations(SFT=TAGS) | {"RL": other})
