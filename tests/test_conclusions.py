"""What 04 finds beyond scores, and that its sentences are those of the numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evoxtral import analyses, conclusions, metrics, paper, tables
from evoxtral.analyses import EXPECTED, STOP
from evoxtral.bench import PAPER, RL, SFT, STRICT, Measured, Split

FIRST, NEW = "known voice, known sentences", "known voice, new sentences"


@pytest.fixture(scope="module")
def frames(measured: Measured) -> dict[str, pd.DataFrame]:
    return {
        "groups": analyses.group_scores(measured.balanced),
        "kinds": analyses.by_familiarity(measured),
        "plain": analyses.plain_speech(measured),
    }


@pytest.fixture(scope="module")
def noise(measured: Measured) -> pd.DataFrame:
    return analyses.noise_curve(measured.headline)


@pytest.fixture(scope="module")
def said(measured: Measured, numbers: paper.Published, frames: dict[str, pd.DataFrame]) -> str:
    return conclusions.as_lists(conclusions.in_short(measured, numbers, **frames))


def test_every_frame_of_scores_names_its_protocol(
    measured: Measured, numbers: paper.Published, frames: dict, noise: pd.DataFrame
) -> None:
    beside = tables.side_by_side(*measured.under(STRICT), trainings=1, on="clips")
    found = [
        *frames.values(),
        noise,
        analyses.count_bias(measured.headline),
        paper.core_compared(numbers, measured.scores, "tiny"),
        paper.per_tag_compared(numbers, measured.scores, "tiny"),
        paper.changes(numbers, measured.steps),
        conclusions.headline_scores(measured),
        conclusions.headline_changes(measured),
        beside.frame,
        tables.by_metric(frames["kinds"], "c", kind="k", system="s").frame,
        tables.tag_scores(measured.balanced.models).frame,
    ]
    for frame in found:
        assert len(frame)
        assert set(frame["protocol"]) <= {PAPER, STRICT}


def test_groups_pool_their_tags(measured: Measured, frames: dict[str, pd.DataFrame]) -> None:
    rows = frames["groups"].set_index(["group", "system"])
    counts = measured.balanced.evaluations[SFT].tag_counts("strict")
    own = [counts[tag] for tag in ("whispers", "shouts", "stammers")]
    assert rows.loc[("delivery", SFT), "value"] == sum(own[1:], own[0]).f1
    assert rows.loc[("delivery", SFT), "support"] == sum(one.support for one in own)
    learnt = [f"[{tag}]" for tag in ("whispers", "shouts", "stammers") if counts[tag].f1 >= 0.5]
    assert rows.loc[("delivery", SFT), "learnt"] == ", ".join(learnt)
    twice = {
        name: replace(own, repeats=(own,)) for name, own in measured.balanced.evaluations.items()
    }
    again = analyses.group_scores(Split("balanced", twice))
    assert list(again["value"]) == list(frames["groups"]["value"])


def test_clips_are_scored_by_how_new_they_are(
    measured: Measured, frames: dict[str, pd.DataFrame], said: str
) -> None:
    rows = frames["kinds"].set_index(["kind", "system", "metric"])["value"]
    ids = {kind: set(own.index) for kind, own in measured.kinds.groupby(measured.kinds)}
    for kind in (FIRST, NEW):
        alone = measured.headline.evaluations[RL].only(ids[kind]).table("strict")
        assert rows[kind, RL, "wer"] == alone["wer"].value
        assert rows[kind, RL, "tag_f1"] == alone["tag_f1"].value
    times = rows[NEW, RL, "wer"] / rows[FIRST, RL, "wer"]
    assert f"RL's WER is {rows[FIRST, RL, 'wer']:.2%}" in said
    wer = f"{rows[NEW, RL, 'wer']:.2%}"
    assert re.search(rf"\*{NEW}\* \({len(ids[NEW])}\), {wer}.* \({times:.1f} times; base ", said)


def test_a_single_clip_is_compared_with_nothing(
    measured: Measured, numbers: paper.Published, frames: dict[str, pd.DataFrame]
) -> None:
    alone = frames["kinds"].assign(low=np.nan, high=np.nan)
    found = conclusions.in_short(measured, numbers, **frames | {"kinds": alone})
    assert "New sentences or voices" not in str(found)


def test_plain_speech_is_held_against_the_limits_of_the_note(
    measured: Measured, frames: dict[str, pd.DataFrame], said: str
) -> None:
    assert (STOP, EXPECTED) == (0.02, 0.03)
    rows = frames["plain"].set_index(["speech", "system"])
    assert measured.plain is not None
    values = {name: own.table("strict")["wer"].value
              for name, own in measured.plain.evaluations.items()}  # fmt: skip
    rise = values[RL] - values["base"]
    assert rows.loc[("base_test", RL), "rise"] == pytest.approx(rise)
    own = rows.loc[("untagged clips of natural", RL)]
    untagged = measured.headline.evaluations[RL].table("strict")["wer_untagged"]
    assert (own["value"], own["n"]) == (untagged.value, untagged.n)
    assert rows.loc[("base_test", RL), ["stop", "expected"]].tolist() == ["yes", "yes"]
    assert rows.loc[("base_test", SFT), ["stop", "expected"]].tolist() == ["no", "no"]
    assert f"which is {100 * rise:+.2f}" in said.replace("−", "-")
    assert "Above the 2 points at which the composition note stops: yes" in said
    without = analyses.plain_speech(replace(measured, plain=None))
    assert set(without["speech"]) == {"untagged clips of natural"}


def test_what_is_better_holds_and_what_is_worse_failed(measured: Measured, said: str) -> None:
    holds, failed = said.split("**What failed, or is not shown**")
    changes = conclusions.headline_changes(measured).set_index("metric")
    assert changes.loc["tag_f1", "low"] > 0
    assert re.search(r"RL is better than SFT in .*Tag F1", holds)
    assert changes.loc["hallucinated_per_untagged", "low"] > 0
    assert re.search(r"RL is worse than SFT in .*Tags per untagged clip", failed)
    assert re.search(r"Between base and SFT no difference is shown in WER", failed)


def test_both_rates_of_hallucination_are_called_what_they_are(
    measured: Measured, said: str
) -> None:
    own = {name: measured.headline.evaluations[RL].table(name) for name in ("paper", "strict")}
    mean, pooled = (own[name]["hallucination"].value for name in ("paper", "strict"))
    assert mean != pooled
    assert f"Hallucinated tags: {pooled:.1%}" in said
    assert f"then the mean over clips) it is {mean:.1%}" in said.replace("\n", " ")


def test_three_transcripts_are_right_half_right_and_wrong(measured: Measured) -> None:
    references = ["[sad] a [pause] b c"] * 20
    errors = [0, 0, *range(1, 19)]
    texts = [" ".join(["[sad] a [pause] b c", *["um"] * count]) for count in errors]
    split = Split("natural", dict.fromkeys(("base", SFT, RL), metrics.evaluate(references, texts)))
    heard: list[str] = []

    def sounds(ids: list[str]) -> list[str]:
        heard.extend(ids)
        return ["data:"] * len(ids)

    frame = conclusions.examples(replace(measured, headline=split, sounds=sounds))
    assert heard == ["0", "10", "18"]
    assert frame["id"][0] == (
        "Right (0): one of 2 among 20 clips of two tags or more without any error."
    )
    assert list(frame["RL"]) == [texts[0], texts[10], texts[18]]
    plain = Split("natural", dict.fromkeys(("base", SFT, RL), metrics.evaluate(["a"], ["a"])))
    assert conclusions.examples(replace(measured, headline=plain)).empty


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.1, 0.0), (0.15, 0.1), (0.25, 0.3), (0.09, np.nan), (0.31, np.nan)]
)
def test_the_curve_is_read_between_its_points(rate: float, expected: float) -> None:
    curve = pd.DataFrame({"protocol": PAPER, "share": [0.4, 0.0, 0.2], "value": [0.3, 0.1, 0.2]})
    assert analyses.crossing(curve, rate) == pytest.approx(expected, nan_ok=True)


def test_limits_quote_what_was_measured(
    measured: Measured, numbers: paper.Published, noise: pd.DataFrame
) -> None:
    single = tables.tag_scores({n: measured.balanced.evaluations[n] for n in (SFT, RL)}).frame
    found = conclusions.limits(measured, numbers, noise, single).set_index("limit")["measured"]
    own = measured.headline.evaluations[RL].table("paper")["hallucination"].value
    assert f"RL: {own:.1%}" in found["Tag hallucination"]
    needed = analyses.crossing(noise, 0.202)
    assert f"about {needed:.1%} of the labels" in found["Tag hallucination"]
    assert found["Synthetic training data"].endswith("Natural speech is not measured.")
    assert "each of 17 tags occurs 2 times or more" in found["Rare tag coverage"]
    assert "From the first 50 clips to all 81" in found["Evaluation scope"]
    assert "808 clips" in found["Small dataset"]
    low = noise[noise["share"] == 0]
    small = replace(measured, headline=measured.balanced, tested="recordings of people")
    found = conclusions.limits(small, numbers, low, single).set_index("limit")["measured"]
    assert found["Evaluation scope"] == "Not measured: this run has 40 test clips only."
    assert "more than 0% of the labels" in found["Tag hallucination"]
    assert "Natural speech is not measured" not in found["Synthetic training data"]


def test_what_was_done_is_that_of_the_run(measured: Measured) -> None:
    said = conclusions.done(measured)
    assert "on 808 clips (SFT), then on 499 of its own completions and 88 references" in said
