"""What `01_data_mix.ipynb` shows beside compositions: the source, its sounds, likeness, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evoxtral import runs, tags
from evoxtral.clips import Clip
from evoxtral.mix.balance import class_balanced_weights, classes, draw_ratio, read_mix
from evoxtral.mix.composition import RARE, examples, keep_first, near_duplicates
from evoxtral.mix.source import GENERATED, REAL, TRAIN, Source, familiarity
from evoxtral.params import DataMix
from evoxtral.tags import TAGS, text_key
from evoxtral.world import scripts, speech
from evoxtral.world.base import heard_by_base
from evoxtral.world.speech.audibility import audibility

EXPECTED = {
    **dict.fromkeys(TAGS, (0.9, 1.0)),
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


def split_summary(source: Source) -> pd.DataFrame:
    """`split | clips | hours | seconds | voices | texts | tagged | least`.

    Hours, median seconds and voices are missing where a clip has none; `tagged` is a share, `least`
    how often the rarest of the 17 tags occurs.
    """
    rows = []
    for name in sorted(source.splits, key=lambda name: (*_ORDER, name).index(name)):
        own = examples(source.splits[name])
        found = own["tagged_text"].map(tags.find_tags)
        counts, seconds = Counter(found.explode().dropna()), own["seconds"].astype(float)
        rows.append(
            {
                "split": name,
                "clips": len(own),
                "hours": seconds.sum(skipna=False) / 3600,
                "seconds": seconds.median(skipna=False),
                "voices": None if own["voice"].isna().any() else own["voice"].nunique(),
                "texts": own["plain_text"].map(text_key).nunique(),
                "tagged": found.map(bool).mean(),
                "least": min(counts[tag] for tag in TAGS),
            }
        )
    return pd.DataFrame(rows)


def findings_summary(source: Source) -> pd.DataFrame:
    """Findings counted by kind: `kind | rows | share | examples`, the first three in words."""
    rows, rejects = [], (source.findings["kind"] == "reject").sum()
    judged = sum(map(len, source.splits.values())) + rejects
    for kind in ("reject", "warning", "repair"):
        found = source.findings[source.findings["kind"] == kind]
        shown = "; ".join(f"{f.file}:{f.line}: {f.reason}" for f in found.head(3).itertuples())
        rows.append((kind, len(found), len(found) / max(1, judged), shown))
    return pd.DataFrame(rows, columns=["kind", "rows", "share", "examples"])


class Heard(NamedTuple):
    """A recording of a text: 16 kHz audio (n,), and where a tag is heard, in seconds, if known."""

    text: str
    audio: npt.NDArray[np.float32]
    marks: Sequence[tuple[float, float]] = ()


class Specimen(NamedTuple):
    """A tag, heard: first with it, then, where it could be made, the same words without."""

    tag: str
    voice: str
    heard: Sequence[Heard]


def specimens(cfg: DataMix, source: Source) -> list[Specimen]:
    """One clip per tag, in the report's order, preferably with no other tag and no capitals.

    A generated text is performed anew, with and without its tag in the same voice from the same
    seed, since only the performance knows where the tag is heard.
    """

    def distraction(clip: Clip) -> tuple[int, float, str]:
        loud = tags.emphasis_words(tags.strip_tags(clip.tagged_text))
        return len(clip.tags) + len(loud), abs((clip.seconds or 0) - SECONDS), clip.id

    clips = source.clips.clips if source.clips else []
    short = sorted((clip for clip in clips if (clip.seconds or 0) <= LONGEST), key=distraction)
    shown = []
    for tag in TAGS:
        having = (clip for clip in short if tag in tags.find_tags(clip.tagged_text))
        if (clip := next(having, None)) is None:
            continue
        if source.name != GENERATED or clip.split == REAL:
            heard = [Heard(clip.tagged_text, source.clips.audio(clip))]
            shown.append(Specimen(tag, clip.voice or "unknown voice", heard))
            continue
        voice = speech.find_voice(clip.voice)
        seed = int(runs.digest([cfg.seed, "listening", clip.id])[:7], 16)
        performed = speech.render(clip.tagged_text, voice, seed)
        spans = (*performed.events, *performed.styles)
        marks = [(start, end) for start, end, label in spans if label == tag]
        plain = speech.render(clip.plain_text, voice, seed).audio
        heard = [Heard(clip.tagged_text, performed.audio, marks), Heard(clip.plain_text, plain)]
        shown.append(Specimen(tag, f"{voice.id}, {voice.gender}", heard))
    return shown


def audible(cfg: DataMix, source: Source) -> pd.DataFrame:
    """Linear probes for every tag, trained on some voices and tested on others, as a stage.

    `tag | group | auc | se | clips | low | high | pass`: area, its standard error (Hanley and
    McNeil, 1982), test clips, half of them tagged, the band the tag was made for and whether the
    area lies in it. Empty for a source other than the generated one.
    """
    columns = ["tag", "group", "auc", "se", "clips", "low", "high", "pass"]
    if source.name != GENERATED:
        return pd.DataFrame(columns=columns)
    sizes = cfg.model_dump(include={"seed", "train_pairs", "test_pairs"})

    def measure(folder: Path) -> None:
        count = cfg.train_pairs + cfg.test_pairs
        drawn = scripts.plain_sentences(3 * count, cfg.seed)
        texts = [text for text in drawn if 3 <= len(text.split()) < 15][:count]
        found = audibility(TAGS, texts, **sizes, workers=cfg.workers or None)
        runs.write_text(folder / "auc.csv", found.to_csv(index=False))

    code = ("evoxtral.world.scripts", "evoxtral.world.speech", "evoxtral.tags")
    made = runs.stage("audibility", cfg.profile, sizes, measure, code=code)
    frame = pd.read_csv(made.path / "auc.csv").rename(columns={"n": "clips"})
    frame[["low", "high"]] = [EXPECTED[tag] for tag in frame["tag"]]
    frame["group"] = frame["tag"].map(tags.group_of)
    auc, half = frame["auc"], frame["clips"] / 2
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    frame["se"] = np.sqrt(auc * (1 - auc) + (half - 1) * (one + two - 2 * auc**2)) / half
    frame["pass"] = np.where(frame["auc"].between(frame["low"], frame["high"]), "yes", "no")
    return frame[columns]


def filter_alike(items: pd.DataFrame, threshold: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The items whose tagged text is not like one kept before, and all pairs of texts alike.

    Pairs are `score | first | second | kept`, most alike first; `kept` if both stay.
    """
    texts = items["tagged_text"].to_numpy(object)
    kept = keep_first(texts, threshold)
    pairs = near_duplicates(texts, threshold=threshold)
    ends = ["first", "second"]
    frame = pd.DataFrame({"score": pairs["rouge_l"]})
    frame[ends] = texts[pairs[ends]]
    frame["kept"] = pairs[ends].isin(kept).all(axis=1)
    frame = frame.sort_values(["score", *ends], ascending=[False, True, True], ignore_index=True)
    return items.iloc[kept].reset_index(drop=True), frame


def novelty(source: Source) -> pd.DataFrame:
    """Clips of every split but training by how new they are: `split | label | clips | share`."""
    rows = []
    for split in [name for name in source.splits if name != TRAIN]:
        counts = familiarity(source, split).value_counts().sort_index()
        rows += [(split, label, n, n / counts.sum()) for label, n in counts.items()]
    return pd.DataFrame(rows, columns=["split", "label", "clips", "share"])


def leakage(source: Source, threshold: float) -> pd.DataFrame:
    """What other splits share with training, of words and of plain texts.

    `split | texts | words | known | alike | heard`: distinct words, and those that training has;
    texts that a training text is like, and those whose words the embedded base has heard or read.
    """

    def words(texts: Iterable[str]) -> set[str]:
        return set(" ".join(map(text_key, texts)).split())

    rows, train = [], source.items["plain_text"]
    for split in [name for name in source.splits if name != TRAIN]:
        texts = [clip.plain_text for clip in source.splits[split]]
        own, alike = words(texts), near_duplicates(train, texts, threshold)["second"].nunique()
        known = len(own & words(train))
        rows.append((split, len(texts), len(own), known, alike, sum(heard_by_base(texts))))
    return pd.DataFrame(rows, columns=["split", "texts", "words", "known", "alike", "heard"])


def skewed(items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A set made bad on purpose: of plain texts and those with a rare tag one in five stays."""
    luck = np.random.default_rng([seed, len(items)]).random(len(items))
    found = items["tagged_text"].map(lambda text: {f"[{tag}]" for tag in tags.find_tags(text)})
    common = found.map(lambda names: bool(names) and not names & RARE)
    stays = (luck < 0.2) | common
    return items[stays].reset_index(drop=True) if stays.any() else items


def class_weights(items: pd.DataFrame, beta: float) -> pd.DataFrame:
    """Weights by effective number, rarest class first.

    Columns: `class | clips | effective`, the effective number at `beta`, then weights, scaled to
    add up to the number of classes, for `beta` and those of the note, each named by its beta.
    """
    counted = Counter(name for own in classes(items) for name in own)
    counts = dict(sorted(counted.items(), key=lambda pair: (pair[1], pair[0])))
    frame = pd.DataFrame(counts.items(), columns=["class", "clips"])
    frame["effective"] = [1 / weight for weight in class_balanced_weights(counts, beta).values()]
    for value in sorted({*BETAS, beta}):
        raw = class_balanced_weights(counts, value).values()
        scale = len(raw) / sum(raw)
        frame[f"{value:g}"] = [weight * scale for weight in raw]
    return frame


def own_ratios(items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The note's task : original mixes drawn from our own clips, without repetition.

    `ratio | tagged | plain | total | share | used`: the plain share, the share of clips taken.
    """
    rows = []
    for ratio in RATIOS:
        counts = draw_ratio(items, ratio, seed)["domain"].value_counts()
        tagged, plain, total = counts.get("tagged", 0), counts.get("plain", 0), counts.sum()
        rows.append((ratio, tagged, plain, total, plain / max(1, total), total / len(items)))
    return pd.DataFrame(rows, columns=["ratio", "tagged", "plain", "total", "share", "used"])


def mix_summary(folder: Path) -> pd.DataFrame:
    """Clips of a training mix by number of draws: `draws | clips | share | weight` (mean)."""
    drawn = read_mix(folder).groupby("draws", as_index=False)
    drawn = drawn.agg(clips=("id", "size"), weight=("weight", "mean"))
    times = drawn["draws"] * drawn["clips"]
    drawn.insert(2, "share", times / times.sum())
    return drawn
