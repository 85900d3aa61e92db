"""What `04_benchmark.ipynb` shows of measured systems: tables and figures by file name.

Each function returns what one cell shows, and nothing where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeAlias

import pandas as pd
from matplotlib.figure import Figure

from evoxtral import bench, figures, tables
from evoxtral.bench import limits as stated
from evoxtral.bench.measured import Measured, Split
from evoxtral.bench.systems import BASE, RL, SFT
from evoxtral.paper import Published
from evoxtral.tables import COUNT, Format, Table

Shown: TypeAlias = dict[str, Table | Figure]
_Rest = ParamSpec("_Rest")
_View: TypeAlias = Callable[Concatenate[Measured, _Rest], Shown]


def _if_measured(view: _View[_Rest]) -> _View[_Rest]:
    @wraps(view)
    def wrapper(measured: Measured, /, *args: _Rest.args, **kwargs: _Rest.kwargs) -> Shown:
        return {} if measured.empty else view(measured, *args, **kwargs)

    return wrapper


def _on(split: Split) -> str:
    return f"{split.clips:,} clips of {split.name}"


@_if_measured
def systems(measured: Measured) -> Shown:
    """The systems, and how many clips each wrote down."""
    splits = {split.name: split for split in (measured.headline, measured.balanced)}
    frame = pd.DataFrame(measured.origins.items(), columns=["system", "origin"])
    for name, split in splits.items():
        sizes = {system: len(rows) for system, rows in split.predictions.items()}
        frame[name] = [float(sizes.get(system, float("nan"))) for system in frame["system"]]
    headers = {"system": "System", "origin": "What it is"}
    headers |= {name: f"Clips, {name}" for name in splits}
    notes = (
        f"Protocols: {bench.PAPER}, {bench.STRICT}, {bench.NVV}, {bench.WESR}. No score stands "
        "without the name of its protocol in the CSV.",
    )
    return {
        "systems": Table(
            frame, headers, "Systems measured.", dict.fromkeys(splits, COUNT), notes=notes
        )
    }


@_if_measured
def recipes(measured: Measured, paper: Published) -> Shown:
    """Table 1 and the card's RL settings beside this run's."""
    printed = dict(paper.rl_settings.to_numpy())
    names = list(dict.fromkeys((*printed, *measured.rl_settings)))
    rows = [(name, printed.get(name), measured.rl_settings.get(name)) for name in names]
    frame = pd.DataFrame(rows, columns=["parameter", "paper", "run"])
    headers = {"parameter": "Setting", "paper": "Model card", "run": "This run"}
    return {
        "table1_measured": tables.recipe(measured.settings, paper),
        "rl_settings_measured": Table(frame, headers, "Settings of the RL stage."),
    }


@_if_measured
def pipelines(measured: Measured) -> Shown:
    """Figures 1 and 2 with this run's counts and scores."""
    assert measured.raft is not None
    assert measured.pipeline is not None
    return {
        "figure1_raft_measured": figures.raft_pipeline(measured.raft),
        "figure2_pipeline_measured": figures.two_stage_pipeline(measured.pipeline),
    }


@_if_measured
def core(measured: Measured, paper: Published) -> Shown:
    """Table 2: published beside measured, and the measured ones drawn with intervals."""
    compared = bench.core_comparison(paper, measured.scores, measured.profile)
    frame = bench.core_frame(measured.scores, paper.core)
    caption = f"Table 2 beside this run: {_on(measured.headline)}, {bench.PAPER}."
    return {
        "table2_measured": tables.against_paper(compared, caption),
        "core_metrics_measured": figures.core_metrics(frame),
        "wer_f1_plane_measured": figures.wer_f1_plane(frame),
    }


@_if_measured
def changes(measured: Measured, paper: Published) -> Shown:
    """What each stage changes, published and measured."""
    found = bench.changes(
        paper, measured.headline.only(BASE, SFT, RL), measured.profile, seed=measured.seed
    )
    caption = f"What each stage changes, in points, {_on(measured.headline)}, paired."
    return {"changes_measured": tables.stage_changes(found, caption)}


@_if_measured
def strict(measured: Measured) -> Shown:
    """All systems under both protocols, and the strict one drawn."""
    frame = measured.scores.metrics
    drawn = tables.scores(measured.headline.evaluations, protocol="strict", seed=measured.seed)
    caption = f"All systems, both protocols, {_on(measured.headline)}."
    return {
        "scores_measured": tables.bench_scores(frame, caption),
        "scores_strict": figures.system_scores(drawn.frame),
    }


@_if_measured
def per_tag(measured: Measured, paper: Published) -> Shown:
    """Table 3: published beside measured, and the measured F1 drawn."""
    compared = bench.per_tag_comparison(paper, measured.scores, measured.profile)
    caption = f"Table 3 beside this run: {_on(measured.headline)}, {bench.PAPER}."
    return {
        "table3_measured": tables.against_paper(compared, caption),
        "per_tag_measured": figures.per_tag_dumbbell(bench.per_tag_frame(measured.scores)),
    }


@_if_measured
def rare_tags(measured: Measured) -> Shown:
    """Each tag where all are about as frequent: counts behind the F1 of SFT and RL."""
    scored = bench.score(measured.balanced.only(SFT, RL), seed=measured.seed).per_tag
    caption = f"Each tag, {_on(measured.balanced)}, {bench.STRICT}."
    rows = scored[(scored["protocol"] == bench.STRICT) & (scored["support"] > 0)]
    return {"tags_balanced": tables.bench_per_tag(rows, caption)}


@_if_measured
def confusion(measured: Measured) -> Shown:
    """Which tag is written for which, by SFT and by RL."""
    shown: Shown = {}
    for name, evaluation in measured.balanced.only(SFT, RL).items():
        frame = bench.confusion(evaluation)
        shown[f"confusion_{name.lower()}"] = figures.confusion_matrix(frame)
        caption = f"{name}: most frequent confusions, {_on(measured.balanced)}."
        shown[f"confused_{name.lower()}"] = tables.confused(frame, caption)
    return shown


@_if_measured
def counts(measured: Measured) -> Shown:
    """Number of tags predicted against true."""
    models = {n: e for n, e in measured.headline.evaluations.items() if n != bench.NO_TAGS}
    bias = bench.count_bias(models, seed=measured.seed)
    caption = f"Tags per clip, predicted and true, {_on(measured.headline)}."
    return {
        "tag_numbers": figures.tag_numbers(bench.count_pairs(models), bias),
        "tag_bias": tables.tag_bias(bias, caption),
    }


@_if_measured
def positions(measured: Measured) -> Shown:
    """Scores in the style of public benchmarks, and what each tag is called there."""
    evaluations = measured.headline.evaluations
    references = [clip.reference for clip in next(iter(evaluations.values())).clips]
    sources = {name: f"{scheme.name} ({scheme.source})" for name, scheme in bench.SCHEMES.items()}
    found = bench.position_scores(evaluations, seed=measured.seed)
    caption = f"Vocal events alone, in the style of public benchmarks, {_on(measured.headline)}."
    return {
        "counterparts": tables.counterparts(bench.mapping(), bench.coverage(references), sources),
        "position_scores": tables.bench_scores(found, caption),
    }


@_if_measured
def noise(measured: Measured, paper: Published) -> Shown:
    """Hallucination of RL's fixed transcripts against the share of labels that are missing."""
    frame = measured.noise
    rows = frame[frame["protocol"] == bench.PAPER]
    printed = paper.core.set_index("key").loc["hallucination"]
    caption = f"Hallucination with labels removed on purpose, {_on(measured.headline)}."
    drawn = figures.label_noise(rows, printed={"RL, published": float(printed["rl"])})
    return {"label_noise": drawn, "label_noise_table": tables.label_noise(frame, caption)}


@_if_measured
def uncertainty(measured: Measured, paper: Published) -> Shown:
    """How far Tag F1 of single clips spreads, and the standard error that follows."""
    few = int(paper.numbers["bench_clips"])
    rows = []
    for name, evaluation in measured.headline.only(SFT, RL).items():
        clips = evaluation.paper()["tag_f1"].ratio.numerator.ravel()
        sd = float(clips.std(ddof=1))
        rows.append((name, float(clips.mean()), sd, sd / few**0.5, sd / len(clips) ** 0.5))
    columns = ["system", "mean", "sd", "se_few", "se"]
    headers = {
        "system": "System",
        "mean": "Mean Tag F1",
        "sd": "sd of clips",
        "se_few": f"Standard error, {few} clips",
        "se": f"Standard error, {measured.headline.clips:,} clips",
    }
    error = Format("points", 1, prefix="±", suffix=" pp")
    formats = {"mean": Format("percent", 1), "sd": Format("number", 2)}
    formats |= dict.fromkeys(("se_few", "se"), error)
    frame = pd.DataFrame(rows, columns=columns)
    caption = "Spread of Tag F1 between clips, measured instead of assumed."
    return {"tag_f1_errors_measured": Table(frame, headers, caption, formats)}


@_if_measured
def limits(measured: Measured, paper: Published) -> Shown:
    """The report's limits, each with what was measured about it."""
    frame = stated.limits(measured, paper, measured.noise)
    headers = {"limit": "Limit", "said": "The report", "measured": "Measured here"}
    return {"limits": Table(frame, headers, "Limits of the report, section 6.")}


@_if_measured
def choices(measured: Measured) -> Shown:
    """Which model for which use."""
    found = bench.choose(measured.headline.evaluations, seed=measured.seed)
    return {
        "choices": tables.choices(found, f"Which model for which use, {_on(measured.headline)}.")
    }
