"""What `01_data_mix.ipynb` shows beside compositions: the source, its sounds, likeness, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from evoxtral import runs, tags
from evoxtral.clips import Clip
from evoxtral.mix.balance import class_balanced_weights, classes, draw_ratio, read_mix
from evoxtral.mix.duplicates import keep_first, near_duplicates, near_duplicates_between
from evoxtral.mix.goals import RARE, Item
from evoxtral.mix.source import GENERATED, REAL, TRAIN, Source
from evoxtral.params import DataMix
from evoxtral.tags import TAGS, text_key
from evoxtral.world import scripts, speech
from evoxtral.world.base import heard_by_base
from evoxtral.world.speech.audibility import audibility

EXPECTED = {
    **dict.fromkeys(("laughs", "sighs", "gasps", "clears throat", "crying"), (0.9, 1.0)),
    **dict.fromkeys(("pause", "whispers", "shouts"), (0.9, 1.0)),
    **dict.fromkeys(("excited", "sad", "angry", "nervous", "frustrated", "stammers"), (0.6, 1.0)),
    **dict.fromkeys(("calm", "confused", "scared"), (0.6, 0.85)),
}
"""Area under the curve that each tag was made for: events plain to hear, three hard on purpose."""

RATIOS = ("1:1", "3:1", "7:1", "15:1")
"""Task : original mixes of the composition note, section 1."""

BETAS = (0.9, 0.99, 0.999)
"""The values the note names for class-balanced weights, section 5."""

SECONDS, LONGEST = 3.0, 12.0  # clips about this long are chosen to be heard, none longer

_ORDER = (TRAIN, "validation", "plain_val", "raft_prompts", "test", "natural",
          "balanced", "base_test")  # fmt: skip
_TIMED = (TRAIN, "natural", "base_test", "test", "validation")


def split_summary(source: Source) -> pd.DataFrame:
    """One row per split.

    Columns: `split | clips | hours | voices | texts | held_out | tagged | tags | least`: hours and
    voices are missing without sound; `held_out` is the share of clips from template families that
    training never sees, `tagged` that of clips with a tag, `tags` the number of tags, `least` how
    often the rarest of the 17 occurs.
    """
    rank = {name: place for place, name in enumerate(_ORDER)}
    rows = []
    for name in sorted(source.splits, key=lambda name: rank.get(name, len(rank))):
        clips = source.splits[name]
        found = [tags.find_tags(clip.tagged_text) for clip in clips]
        counts = Counter(tag for names in found for tag in names)
        seconds = [getattr(clip, "seconds", None) for clip in clips]
        voices = {getattr(clip, "voice", None) for clip in clips}
        rows.append(
            {
                "split": name,
                "clips": len(clips),
                "hours": None if None in seconds else sum(seconds) / 3600,
                "voices": None if None in voices else len(voices),
                "texts": len({text_key(clip.plain_text) for clip in clips}),
                "held_out": sum(clip.held_out for clip in clips) / len(clips),
                "tagged": sum(map(bool, found)) / len(clips),
                "tags": counts.total(),
                "least": min(counts[tag] for tag in TAGS),
            }
        )
    return pd.DataFrame(rows)


def findings_summary(source: Source) -> pd.DataFrame:
    """Findings counted by kind: `kind | rows | share | examples`, the first three in words."""
    rows = []
    for kind in ("reject", "warning", "repair"):
        found = source.findings[source.findings["kind"] == kind]
        shown = "; ".join(f"{f.file}:{f.line}: {f.reason}" for f in found.head(3).itertuples())
        rows.append((kind, len(found), len(found) / max(1, source.judged), shown))
    return pd.DataFrame(rows, columns=["kind", "rows", "share", "examples"])


def durations(source: Source) -> dict[str, list[float]]:
    """Seconds of every clip of training and of two kinds of test; empty without sound."""
    known = {
        name: [getattr(clip, "seconds", None) for clip in source.splits[name]]
        for name in _TIMED
        if name in source.splits
    }
    return dict([(name, values) for name, values in known.items() if None not in values][:3])


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording of a text: 16 kHz audio (n,), and where a tag is heard, in seconds, if known."""

    text: str
    audio: npt.NDArray[np.float32]
    marks: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Specimen:
    """A tag, heard: first with it, then, where it could be made, the same words without."""

    tag: str
    voice: str
    heard: tuple[Heard, ...]


def specimens(cfg: DataMix, source: Source) -> list[Specimen]:
    """One clip per tag, in the report's order; none for a source without sound.

    Chosen is a clip with no other tag and no capitals if there is one. A generated text is
    performed anew, with and without its tag in the same voice from the same seed, since only the
    performance knows where the tag is heard; from one's own recordings the clip itself is taken.
    """
    clips = source.clips.clips if source.clips is not None else []
    short = [clip for clip in clips if (clip.seconds or 0) <= LONGEST]
    chosen = []
    for tag in TAGS:
        having = (clip for clip in short if tag in tags.find_tags(clip.tagged_text))
        chosen.append((tag, min(having, key=_distraction, default=None)))
    return [_specimen(cfg, source, tag, clip) for tag, clip in chosen if clip is not None]


def _distraction(clip: Clip) -> tuple[int, float, str]:
    """How much else than one tag is to be heard, then how far from the length wanted."""
    loud = tags.emphasis_words(tags.strip_tags(clip.tagged_text))
    return len(clip.tags) + len(loud), abs((clip.seconds or 0) - SECONDS), clip.id


def _specimen(cfg: DataMix, source: Source, tag: str, clip: Clip) -> Specimen:
    if source.name != GENERATED or clip.split == REAL:
        heard = (Heard(clip.tagged_text, source.clips.audio(clip)),)
        return Specimen(tag, clip.voice or "unknown voice", heard)
    voice = speech.find_voice(clip.voice)
    seed = int(runs.digest([cfg.seed, "listening", clip.id])[:7], 16)
    with_tag = speech.render(clip.tagged_text, voice, seed)
    spans = (*with_tag.events, *with_tag.styles)
    marks = tuple((start, end) for start, end, label in spans if label == tag)
    without = speech.render(clip.plain_text, voice, seed)
    heard = (Heard(clip.tagged_text, with_tag.audio, marks), Heard(clip.plain_text, without.audio))
    return Specimen(tag, f"{voice.id}, {voice.gender}", heard)


def audible(cfg: DataMix, source: Source) -> pd.DataFrame:
    """Linear probes for every tag, trained on some voices and tested on others, as a stage.

    Only what is synthesised here comes in pairs with and without a tag; for any other source the
    frame is empty.

    Returns:
        `tag | group | auc | se | clips | low | high | pass`: area, its standard error, test clips,
        the band the tag was made for and whether the area lies in it; tags in the report's order.
    """
    columns = ["tag", "group", "auc", "se", "clips", "low", "high", "pass"]
    if source.name != GENERATED:
        return pd.DataFrame(columns=columns)
    made = runs.stage(
        "audibility",
        cfg.profile,
        cfg.model_dump(include={"seed", "train_pairs", "test_pairs"}),
        lambda folder: _measure(folder, cfg),
        code=("evoxtral.world.scripts", "evoxtral.world.speech", "evoxtral.tags"),
    )
    frame = pd.read_csv(made.path / "auc.csv").rename(columns={"n": "clips"})
    low, high = (frame["tag"].map(lambda tag, k=k: EXPECTED[tag][k]) for k in (0, 1))
    passed = np.where(frame["auc"].between(low, high), "yes", "no")
    errors = list(map(standard_error, frame["auc"], frame["clips"]))
    groups = frame["tag"].map(tags.group_of)
    frame = frame.assign(group=groups, se=errors, low=low, high=high, **{"pass": passed})
    return frame[columns]


def standard_error(auc: float, n: int) -> float:
    """Standard error of an area under the ROC curve of n clips, half of them tagged.

    Hanley and McNeil, 1982.

    >>> round(standard_error(0.8, 100), 3)
    0.045
    """
    half = n / 2
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (half - 1) * (one + two - 2 * auc**2)
    return float(np.sqrt(max(0.0, variance)) / half)


def _measure(folder: Path, cfg: DataMix) -> None:
    """Probe the first sentences of 3 to 14 words; three are drawn for each that is needed."""
    count = cfg.train_pairs + cfg.test_pairs
    drawn = scripts.plain_sentences(3 * count, cfg.seed)
    texts = [text for text in drawn if 3 <= len(text.split()) < 15][:count]
    found = audibility(
        TAGS,
        texts,
        train_pairs=cfg.train_pairs,
        test_pairs=cfg.test_pairs,
        seed=cfg.seed,
        workers=cfg.workers or None,
    )
    runs.write_text(folder / "auc.csv", found.to_csv(index=False))


def filter_alike(
    items: Sequence[Item], threshold: float, workers: int | None = None
) -> tuple[list[Item], pd.DataFrame]:
    """Drop texts whose ROUGE-L to an earlier one reaches the threshold, on the tagged text.

    Returns:
        The items kept, in order, and `score | first | second | kept`: texts of every pair alike,
        most alike first; `kept` says whether both stay (a text alike only to one that was dropped
        stays).
    """
    texts = np.array([item.tagged_text for item in items], dtype=object)
    kept = keep_first(texts, threshold, workers)
    pairs = near_duplicates(texts, threshold, workers)
    frame = pd.DataFrame(
        {
            "score": pairs["rouge_l"],
            "first": texts[pairs["first"]],
            "second": texts[pairs["second"]],
            "kept": pairs["first"].isin(kept) & pairs["second"].isin(kept),
        }
    )
    order = {"by": ["score", "first", "second"], "ascending": [False, True, True]}
    return [items[i] for i in kept], frame.sort_values(**order, ignore_index=True)


def leakage(source: Source, threshold: float, workers: int | None = None) -> pd.DataFrame:
    """Texts of other splits that a training text is like, on plain text.

    Columns: `split | texts | pairs | alike | heard`: pairs at the threshold or above, the number
    of texts of the split in one of them, and of those whose words the embedded base was trained on.
    """
    train = [item.plain_text for item in source.items]
    rows = []
    for split in [name for name in source.splits if name != TRAIN]:
        texts = [clip.plain_text for clip in source.splits[split]]
        found = near_duplicates_between(train, texts, threshold, workers)
        alike = found["second"].nunique()
        rows.append((split, len(texts), len(found), alike, sum(heard_by_base(texts))))
    return pd.DataFrame(rows, columns=["split", "texts", "pairs", "alike", "heard"])


def skewed(items: Sequence[Item], seed: int) -> list[Item]:
    """A set made bad on purpose: of plain texts and those with a rare tag one in five stays."""
    luck = np.random.default_rng([seed, len(items)]).random(len(items))
    stays = [
        value < 0.2 or (bool(names) and not names & set(RARE))
        for names, value in zip(
            ({*tags.find_tags(i.tagged_text)} for i in items), luck, strict=True
        )
    ]
    return [item for item, stay in zip(items, stays, strict=True) if stay] or list(items)


def class_weights(items: Sequence[Item], beta: float) -> pd.DataFrame:
    """Weights by effective number, rarest class first.

    Columns: `class | clips | effective`, the effective number at `beta`, and a normalised weight
    per beta, named by its value; those of the note and `beta` itself.
    """
    counted = Counter(name for own in classes(items) for name in own)
    counts = dict(sorted(counted.items(), key=lambda pair: (pair[1], pair[0])))
    raw = class_balanced_weights(counts, beta, normalise=False)
    effective = [1 / weight for weight in raw.values()]
    frame = pd.DataFrame({"class": [*counts], "clips": [*counts.values()], "effective": effective})
    for value in sorted({*BETAS, beta}):
        frame[f"{value:g}"] = list(class_balanced_weights(counts, value).values())
    return frame


def own_ratios(items: Sequence[Item], seed: int) -> pd.DataFrame:
    """The note's task : original mixes drawn from our own clips, without repetition.

    Columns: `ratio | tagged | plain | total | share`, the plain share, and `used`, the share of
    clips that the mix takes.
    """
    rows = []
    for ratio in RATIOS:
        counts = draw_ratio(items, ratio, seed)["domain"].value_counts()
        tagged, plain, total = counts.get("tagged", 0), counts.get("plain", 0), counts.sum()
        rows.append((ratio, tagged, plain, total, plain / max(1, total), total / len(items)))
    return pd.DataFrame(rows, columns=["ratio", "tagged", "plain", "total", "share", "used"])


def mix_summary(folder: Path) -> pd.DataFrame:
    """Clips of a training mix by number of draws: `draws | clips | share | weight` (mean)."""
    frame = pd.DataFrame(read_mix(folder)).groupby("draws", as_index=False)
    drawn = frame.agg(clips=("id", "size"), weight=("weight", "mean"))
    times = drawn["draws"] * drawn["clips"]
    drawn.insert(2, "share", times / times.sum())
    return drawn
