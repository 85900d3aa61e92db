"""From training clips to the training mix: near-duplicates out, balanced, weighted, written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from evoxtral import UserError, runs, tags
from evoxtral.datamix.source import TRAIN, Source
from evoxtral.mix.duplicates import keep_first, near_duplicates, near_duplicates_between
from evoxtral.mix.goals import MAX_DRAWS, RARE, all_goals
from evoxtral.mix.items import Features, Item
from evoxtral.mix.plan import Part, draw_mix
from evoxtral.mix.rebalance import Rebalanced, rebalance
from evoxtral.mix.weights import PLAIN, class_balanced_weights, clip_weights, mix_ratio
from evoxtral.params import DataMix
from evoxtral.tags import text_key
from evoxtral.world.base import heard_by_base

MIX_FILE = "mix.jsonl"
MIX_CODE = ("evoxtral.datamix.training", "evoxtral.mix", "evoxtral.tags")

RATIOS = ((1, 1), (3, 1), (7, 1), (15, 1))
"""Task : original mixes of the composition note, section 1."""

BETAS = (0.9, 0.99, 0.999)
"""The values the note names for class-balanced weights, section 5."""


@dataclass(frozen=True, eq=False)
class Filtered:
    """Training examples without near-duplicates.

    Attributes:
        items: kept, in order; of two texts alike the earlier stays.
        pairs: `score | first | second | kept`, texts of every pair alike, most alike first;
            `kept` says whether both stay (a text alike only to one that was dropped stays).
        total: examples before.
    """

    items: tuple[Item, ...]
    pairs: pd.DataFrame
    total: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A clip of the training mix.

    Attributes:
        id: of the clip.
        draws: times per epoch.
        weight: factor of its loss.
    """

    id: str
    draws: int
    weight: float


def filter_alike(items: Sequence[Item], threshold: float, workers: int | None = None) -> Filtered:
    """Drop texts whose ROUGE-L to an earlier one reaches the threshold, on the tagged text."""
    texts = [item.tagged_text for item in items]
    kept = keep_first(texts, threshold, workers)
    stays = set(kept)
    rows = [
        (
            float(pair.rouge_l),
            texts[pair.first],
            texts[pair.second],
            {pair.first, pair.second} <= stays,
        )
        for pair in near_duplicates(texts, threshold, workers).itertuples()
    ]
    pairs = pd.DataFrame(rows, columns=["score", "first", "second", "kept"])
    pairs = pairs.sort_values(["score", "first", "second"], ascending=[False, True, True])
    return Filtered(tuple(items[i] for i in kept), pairs.reset_index(drop=True), len(items))


def leakage(source: Source, threshold: float, workers: int | None = None) -> pd.DataFrame:
    """Texts of other splits that a training text is like, on plain text.

    Columns: `split | texts | pairs | alike | heard`: pairs at the threshold or above, the number
    of texts of the split in one of them, and of those whose words the embedded base was trained on.
    """
    train = [item.plain_text for item in source.items]
    rows = []
    for split, clips in source.splits.items():
        if split == TRAIN:
            continue
        texts = [clip.plain_text for clip in clips]
        found = near_duplicates_between(train, texts, threshold, workers)
        alike, known = found["second"].nunique(), sum(heard_by_base(texts))
        rows.append((split, len(texts), len(found), alike, known))
    return pd.DataFrame(rows, columns=["split", "texts", "pairs", "alike", "heard"])


def meet_targets(
    items: Sequence[Item], seed: int, window_seconds: float | None, size: int | None = None
) -> Rebalanced:
    """Draw a set of that many examples which meets the composition note's targets."""
    texts = len({text_key(item.plain_text) for item in items})
    wanted = None if size is None else min(size, MAX_DRAWS * texts)
    return rebalance(items, wanted, seed=seed, window_seconds=window_seconds)


def target_table(
    items: Sequence[Item], balanced: Rebalanced, window_seconds: float | None
) -> pd.DataFrame:
    """Every goal before and after, with both verdicts.

    Args:
        items: the examples that `balanced` was drawn from.
        balanced: result of `meet_targets`.
        window_seconds: as there.

    Returns:
        `table | row | target | before | met | after | reached | shortfall`; `met` is the verdict
        before, `reached` after.
    """
    goals = all_goals(Features.of(items), window_seconds)
    frame = balanced.table.copy()
    frame.insert(4, "met", [goal.verdict() for goal in goals])
    return frame


def missed(targets: pd.DataFrame) -> pd.DataFrame:
    """The rows of `target_table` that fail before or after."""
    both = (targets["met"] == "yes") & (targets["reached"] == "yes")
    return targets[~both].reset_index(drop=True)


def skewed(items: Sequence[Item], seed: int, keep: float = 0.2) -> list[Item]:
    """A set made bad on purpose: of plain texts and of rare tags only a share stays.

    Args:
        items: examples.
        seed: chooses which.
        keep: chance to stay of an example without tags or with one of the note's rare tags.
    """
    rng = np.random.default_rng([seed, len(items)])
    luck = rng.random(len(items))
    scarce = [
        not names or bool(names & set(RARE))
        for names in (set(tags.find_tags(item.tagged_text)) for item in items)
    ]
    stays = [not rare or value < keep for rare, value in zip(scarce, luck, strict=True)]
    return [item for item, stay in zip(items, stays, strict=True) if stay] or list(items)


def class_weights(items: Sequence[Item], beta: float) -> pd.DataFrame:
    """Weights by effective number, rarest class first.

    Columns: `class | clips | effective`, the effective number at `beta`, and a normalised weight
    per beta, named by its value; those of the note and `beta` itself.
    """
    counts = Counter(
        name for item in items for name in sorted(set(tags.find_tags(item.tagged_text)) or {PLAIN})
    )
    counts = dict(sorted(counts.items(), key=lambda pair: (pair[1], pair[0])))
    raw = class_balanced_weights(counts, beta, normalise=False)
    frame = pd.DataFrame(
        {
            "class": list(counts),
            "clips": list(counts.values()),
            "effective": [1 / weight for weight in raw.values()],
        }
    )
    for value in sorted({*BETAS, beta}):
        frame[f"{value:g}"] = list(class_balanced_weights(counts, value).values())
    return frame


def own_ratios(items: Sequence[Item], seed: int) -> pd.DataFrame:
    """The note's task : original mixes drawn from our own clips, without repetition.

    Columns: `ratio | tagged | plain | total | share`, the plain share, and `used`, the share of
    clips that the mix takes.
    """
    features = Features.of(items)
    tagged = [i for i, flag in enumerate(features.tagged) if flag]
    plain = [i for i, flag in enumerate(features.tagged) if not flag]
    parts = [Part("tagged", "tagged", np.array(tagged, dtype=np.int32)),
             Part(PLAIN, PLAIN, np.array(plain, dtype=np.int32))]  # fmt: skip
    rows = []
    for task, original in RATIOS:
        counts = draw_mix(parts, {"tagged": task, PLAIN: original}, "strict", seed=seed).counts
        total = sum(counts.values())
        rows.append(
            {
                "ratio": f"{task}:{original}",
                "tagged": counts["tagged"],
                "plain": counts[PLAIN],
                "total": total,
                "share": counts[PLAIN] / max(1, total),
                "used": total / len(items),
            }
        )
    return pd.DataFrame(rows)


def training_mix(cfg: DataMix, source: Source) -> runs.StageResult:
    """The stage that says how often fine-tuning draws each clip: `mix.jsonl`.

    One line per clip drawn: `id`, `draws`, `weight`; read it with `read_mix`.
    """

    def make(folder: Path) -> None:
        rows = [{"id": d.id, "draws": d.draws, "weight": d.weight} for d in _draw(cfg, source)]
        runs.write_jsonl(folder / MIX_FILE, rows)

    names = {"seed", "threshold", "mix", "class_balance", "beta"}
    params = {**cfg.model_dump(include=names), "window": source.window_seconds}
    inputs = {"source": source.digest}
    return runs.stage("training-mix", cfg.profile, params, make, inputs=inputs, code=MIX_CODE)


def _draw(cfg: DataMix, source: Source) -> list[Drawn]:
    items = source.items
    kept = filter_alike(items, cfg.threshold, cfg.workers or None).items
    if cfg.mix == "written":
        drawn: Sequence[Item] = kept
    elif cfg.mix == "targets":
        drawn = meet_targets(kept, cfg.seed, source.window_seconds, len(items)).items
    else:
        tagged = [item for item in kept if tags.find_tags(item.tagged_text)]
        plain = [item for item in kept if not tags.find_tags(item.tagged_text)]
        task, original = map(int, cfg.mix.split(":"))
        drawn = mix_ratio(tagged, plain, (task, original), cfg.seed)
    return _balanced(drawn, cfg)


def _balanced(drawn: Sequence[Item], cfg: DataMix) -> list[Drawn]:
    """Draws and weights per clip, in the order of ids."""
    factors = clip_weights(drawn, cfg.class_balance, cfg.beta)
    by_id = {item.id: float(factor) for item, factor in zip(drawn, factors, strict=True)}
    times = Counter(item.id for item in drawn)
    if cfg.class_balance == "weighted":
        return [Drawn(name, times[name], round(by_id[name], 6)) for name in sorted(times)]
    return [
        Drawn(name, min(MAX_DRAWS, times[name] * int(by_id[name])), 1.0) for name in sorted(times)
    ]


def read_mix(path: Path) -> list[Drawn]:
    """The training mix of a stage's folder.

    Raises:
        UserError: a line is no draw; names file and line.
    """
    drawn = []
    for number, row in enumerate(runs.read_jsonl(path / MIX_FILE), start=1):
        if set(row) != {"id", "draws", "weight"} or row["draws"] < 1:
            raise UserError(f"{path / MIX_FILE}, line {number}: expected id, draws and weight")
        drawn.append(Drawn(**row))
    return drawn
