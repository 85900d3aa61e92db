"""What `04_benchmark.ipynb` concludes, in sentences of `conclusions.yaml`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from evoxtral import analyses, bench
from evoxtral.analyses import EXPECTED, LEARNT, STOP
from evoxtral.bench import BASE, HEADLINE, OVERALL, PAPER, RL, SFT, STRICT, Measured
from evoxtral.metrics import ClipScore
from evoxtral.paper import Published
from evoxtral.tables import MEASURES, by_verdict, cell, points, show, verdict

RARE = 5
"""Below so many occurrences the report calls a tag's F1 unreliable."""

UNLISTED = ("sniffs", "yawns", "laughs nervously")
"""Tags that the model card lists and the report's Table 3 does not."""

_WORDS = yaml.safe_load(Path(__file__).with_name("conclusions.yaml").read_text(encoding="utf-8"))


def done(measured: Measured) -> str:
    """What was trained and tested."""
    return _WORDS["done"].format(
        **measured.numbers,
        base=measured.base,
        learnt=measured.settings["Training clips"],
        precision=measured.settings["Precision"],
        trained=measured.trained,
        tested=measured.tested,
        clips=measured.headline.clips,
        split=measured.headline.name,
    )


def headline_scores(measured: Measured) -> pd.DataFrame:
    """The five metrics that matter of base, SFT and RL: rows of `bench.score_frame`."""
    rows, _ = measured.under(STRICT)
    return rows[rows["metric"].isin(HEADLINE) & rows["system"].isin((BASE, SFT, RL))]


def headline_changes(measured: Measured) -> pd.DataFrame:
    """What RL changes in them: rows of `bench.paired_frame`."""
    _, rows = measured.under(STRICT)
    return rows[rows["metric"].isin(HEADLINE) & (rows["system"] == RL)]


def examples(measured: Measured) -> pd.DataFrame:
    """Three transcripts of RL, right, half right and wrong, chosen by rule, as `transcripts` draws.

    Of the clips with two tags or more: the first without any error, the middle one by errors for
    each word and tag, and the one at the border of the worst tenth. Empty if there is no such clip.
    """
    clips = [c for c in measured.headline.evaluations[RL].clips if c.strict.tags.support > 1]
    if not clips:
        return pd.DataFrame()
    ranked = sorted(clips, key=_badness)
    right = sum(_badness(clip) == 0 for clip in clips)
    count = len(clips)
    places = {"right" if right else "best": 0, "half": count // 2, "wrong": count * 9 // 10}
    chosen = [ranked[place].id for place in places.values()]
    said = [
        _WORDS["examples"][name].format(id=own, right=right, clips=count)
        for name, own in zip(places, chosen, strict=True)
    ]
    shown = pd.DataFrame({"id": said, "audio": measured.sounds(chosen)})
    for system in (BASE, SFT, RL):
        own = {clip.id: clip for clip in measured.headline.evaluations[system].clips}
        shown["reference"] = [own[name].reference for name in chosen]
        shown[system] = [own[name].prediction for name in chosen]
    return shown


def _badness(clip: ClipScore) -> float:
    """Errors in words, tags and emphasis for each word and tag of the reference."""
    own, marks = clip.strict, (clip.strict.tags, clip.strict.emphasis)
    errors = own.words.errors + sum(counts.fp + counts.fn for counts in marks)
    return errors / (own.words.reference_length + own.tags.support)


def unlisted(measured: Measured) -> str:
    """How often tags that the model card lists, and Table 3 does not, are in the test sets."""
    counts = [split.evaluations[RL].tag_counts("strict")
              for split in (measured.headline, measured.balanced)]  # fmt: skip
    said = [
        _WORDS["unlisted_tag"].format(
            tag=tag,
            true=sum(own[tag].support for own in counts if tag in own),
            predicted=sum(own[tag].predicted for own in counts if tag in own),
        )
        for tag in UNLISTED
    ]
    return _WORDS["unlisted"].format(tags=", ".join(said))


def in_short(
    measured: Measured,
    printed: Published,
    *,
    groups: pd.DataFrame,
    kinds: pd.DataFrame,
    plain: pd.DataFrame,
) -> pd.DataFrame:
    """What can be said, sentence by sentence: `topic | good | said`.

    The frames are those of `analyses.group_scores`, `by_familiarity` and `plain_speech`.
    """
    topics = {
        "stages": _steps(measured),
        "groups": _groups(groups),
        "single tags": _single(groups),
        "new clips": _familiarity(kinds),
        "plain speech": _plain(plain),
        "hallucination": _hallucination(measured, printed),
        "uses": _uses(measured),
    }
    rows = [(topic, *one) for topic, found in topics.items() for one in found]
    return pd.DataFrame(rows, columns=["topic", "good", "said"])


def as_lists(sentences: pd.DataFrame) -> str:
    """What holds and what failed, as two Markdown lists."""
    parts = []
    for good, head in {True: "**What holds**", False: "**What failed, or is not shown**"}.items():
        own = sentences.loc[sentences["good"] == good, "said"]
        parts += [head, "\n".join(f"- {sentence}" for sentence in own)]
    return "\n\n".join(parts)


_Said = Iterator[tuple[bool, str]]
"""Sentences, and whether each says something good."""


def _steps(measured: Measured) -> _Said:
    """What each stage made better and worse."""
    rows = measured.under(STRICT)[1].dropna(subset="difference")
    rows = rows[rows["metric"].isin([*HEADLINE, "tag_recall"])]
    for row in by_verdict(rows).to_dict("records"):
        for name, text in _WORDS["steps"].items():
            if isinstance(row[name], str):
                yield name == "better", text.format(**row, changes=row[name])
    if measured.balanced.name != measured.headline.name:
        paired = bench.headline(measured.balanced, [(SFT, RL)], seed=measured.seed)
        change = paired.set_index("metric", drop=False).loc["tag_f1"]
        way = verdict("tag_f1", change["low"], change["high"])
        said = {"split": measured.balanced, "change": _cell(change, "difference")}
        yield (
            way == "better",
            _WORDS["balanced"].format(**said, verdict=way or "no difference shown"),
        )


def _groups(groups: pd.DataFrame) -> _Said:
    """Which groups of tags are learnt."""
    own = groups[groups["system"] == RL]
    kinds = np.select(
        [own["low"] >= LEARNT, own["high"] < LEARNT], ["learnt", "not_learnt"], "undecided"
    )
    for kind, rows in own.groupby(kinds):
        said = [f"{r['group']} {cell(r['value'], (r['low'], r['high']), 'number 2')}"
                for r in rows.to_dict("records")]  # fmt: skip
        known = {"split": rows["split"].iloc[0], "groups": ", ".join(said), "half": LEARNT}
        yield kind == "learnt", _WORDS[kind].format(**known)


def _single(groups: pd.DataFrame) -> _Said:
    """Which single tags are not learnt."""
    found = groups.loc[groups["system"] == RL, "not_learnt"]
    if missing := ", ".join(filter(None, found)):
        yield False, _WORDS["single"].format(tags=missing, half=LEARNT)


def _familiarity(kinds: pd.DataFrame) -> _Said:
    """Where words are harder to hear than in the clips that are closest to training."""
    wer = kinds[(kinds["metric"] == "wer") & kinds["low"].notna()].to_dict("records")
    rows = {(row["kind"], row["system"]): row for row in wer}
    clips = {row["kind"]: row["clips"] for row in wer}
    if not rows:  # a single clip has no interval
        return
    first, *others = dict.fromkeys(kind for kind, _ in rows)
    known, words, higher = rows[first, RL], _WORDS["familiarity"], []
    for kind in others:
        own = rows[kind, RL]
        if own["low"] > known["high"]:
            times = own["value"] / known["value"] if known["value"] else math.inf
            base = _cell(rows[kind, BASE])
            one = {"kind": kind, "clips": clips[kind], "times": times}
            higher.append(words["other"].format(**one, wer=_cell(own), base=base))
    if higher:
        said = {"first": first, "wer": _cell(known), "base": _cell(rows[first, BASE])}
        said |= {"clips": clips[first]}
        yield False, words["higher"].format(**said, others=", ".join(higher))


def _plain(plain: pd.DataFrame) -> _Said:
    """What fine-tuning costs on plain speech, against the limits of the composition note."""
    for speech, own in plain.dropna(subset="value").groupby("speech", sort=False):
        rows = own.set_index("system").to_dict("index")
        rl, limits = rows[RL], {"stop": 100 * STOP, "expected": 100 * EXPECTED}
        said = {f"{name}_wer": _cell(row) for name, row in rows.items()}
        for name, row in rows.items():
            ends = {"low": row["rise_low"], "high": row["rise_high"], "seed_sd": math.nan}
            said[f"{name}_rise"] = _cell(row | ends, "rise")
        verdicts = {f"above_{name}": rl[name] for name in limits}
        kind = _WORDS["base_texts"] if own["metric"].iloc[0] == "wer" else ""
        words = {"speech": speech, "n": rl["n"], "kind": kind}
        text = _WORDS["plain"].format(**words, **said, **limits, **verdicts)
        yield rl["stop"] == "no", text


def _hallucination(measured: Measured, printed: Published) -> _Said:
    """How many tags are made up, by both definitions, and whether RL makes it better."""
    scores = measured.scores.set_index(["protocol", "system", "metric"], drop=False)
    steps = measured.steps.set_index(["protocol", "system", "metric"], drop=False)
    change = steps.loc[(PAPER, RL, "hallucination")]
    rates = printed.core.set_index("key").loc["hallucination"]
    way = verdict("hallucination", change["low"], change["high"])
    yield (
        way == "better",
        _WORDS["hallucination"].format(
            strict=_cell(scores.loc[(STRICT, RL, "hallucination")]),
            paper=_cell(scores.loc[(PAPER, RL, "hallucination")]),
            direction=_WORDS["directions"][way],
            change=_cell(change, "difference"),
            printed=show(rates["rl"] - rates["sft"], "points 1 signed"),
        ),
    )


def _uses(measured: Measured) -> _Said:
    """Whether the report's choice, SFT for accuracy and RL for expression, holds here."""
    rows = measured.steps[measured.steps["system"] == RL].set_index(["protocol", "metric"])
    ways = {}
    for metric in ("wer", "tag_f1"):
        own = rows.loc[(STRICT, metric)]
        ways[metric] = verdict(metric, own["low"], own["high"])
    good = ways == {"wer": "worse", "tag_f1": "better"}
    borne = "borne out" if good else "not borne out" if all(ways.values()) else "not decided"
    said = {metric: _WORDS["ways"][metric][way] for metric, way in ways.items()}
    yield good, _WORDS["uses"].format(**said, borne=borne)


def _cell(row: Mapping[str, Any], name: str = "value") -> str:
    """A score, or a difference in points, with its interval."""
    rule = MEASURES[row["metric"]].rule
    rule = rule if name == "value" else f"{points(rule)} signed"
    return cell(row[name], (row["low"], row["high"]), rule, row["seed_sd"])


def limits(
    measured: Measured, printed: Published, noise: pd.DataFrame, single: pd.DataFrame
) -> pd.DataFrame:
    """The six limits that the report states (section 6): `limit | said | measured`, in sentences.

    `noise` is the `noise_curve` of RL, `single` the frame of `tables.tag_scores`.
    """
    few, supports = int(printed.numbers["bench_clips"]), printed.per_tag["support"]
    clips, found = measured.headline.clips, single[single["support"] > 0]
    known: dict[str, Any] = {
        "always": True,
        "few": few,
        "train": int(printed.numbers["train_clips"]),
        "learnt": measured.settings["Training clips"],
        "trained": measured.trained,
        "tested": measured.tested,
        "rare": (supports < RARE).sum(),
        "least": RARE,
        "tags": len(supports),
        "balanced_split": measured.balanced.name,
        "balanced": found["support"].min(),
        "found" if len(found) else "bare": len(found),
        "wide": (found["RL_high"] - found["RL_low"]).max(),
        "only" if clips <= few else "clips": clips,
        **_rates(measured, printed, noise),
        **_narrowing(measured, few),
    }
    if "recordings" not in measured.tested:
        known["synthetic"] = True
    rows = [
        (
            row["limit"],
            row["said"].format(**known),
            " ".join(text.format(**known) for key, text in row["measured"].items() if key in known),
        )
        for row in _WORDS["limits"]
    ]
    return pd.DataFrame(rows, columns=["limit", "said", "measured"])


def _rates(measured: Measured, printed: Published, noise: pd.DataFrame) -> dict[str, Any]:
    """RL's hallucination, and what missing labels would make of it."""
    scores = measured.scores.set_index(["protocol", "system", "metric"], drop=False)
    rate = float(printed.core.set_index("key").loc["hallucination", "rl"])
    own = noise[noise["protocol"] == PAPER].sort_values("share")
    last, needed = own.iloc[-1], analyses.crossing(noise, rate)
    known = {
        "printed": show(rate, "percent 1"),
        "rate": _cell(scores.loc[(PAPER, RL, "hallucination")]),
        "strict": _cell(scores.loc[(STRICT, RL, "hallucination")]),
        "untagged": _cell(scores.loc[(STRICT, RL, "hallucinated_per_untagged")]),
        "share": last["share"],
        "noisy": show(last["value"], "percent 1"),
        "rise": "shown" if last["rise_low"] > 0 else "not shown",
    }
    if not math.isnan(needed):
        known["needed"] = f"about {needed:.1%}"
    elif last["value"] < rate:
        known["needed"] = f"more than {last['share']:.0%}"
    return known


def _narrowing(measured: Measured, few: int) -> dict[str, str]:
    """Half the widths of Tag F1's intervals on the first clips and on all of them, in points."""
    names = [clip.id for clip in measured.headline.evaluations[RL].clips[:few]]
    first = measured.headline.only(names)
    frames = {"narrow": bench.score_frame(first, {PAPER: OVERALL[PAPER]}, only=("tag_f1",)),
              "all": measured.under(PAPER)[0]}  # fmt: skip
    return {
        f"{name}_{row['system']}": show((row["high"] - row["low"]) / 2, "points 1")
        for name, frame in frames.items()
        for row in frame[frame["metric"] == "tag_f1"].to_dict("records")
    }
