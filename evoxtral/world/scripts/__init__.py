"""Tagged scripts: what the speakers of the synthetic world say, and the 1,010 released scripts.

Generated ones come from a seeded grammar over a closed vocabulary, both in `grammar.yaml`.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import numpy as np

from evoxtral import UserError, tags
from evoxtral.tags import text_key
from evoxtral.world.scripts import grammar
from evoxtral.world.scripts.draft import Draft
from evoxtral.world.scripts.grammar import (
    DOMAINS,
    EMPHASIS_WORDS,
    FAMILIES,
    GRAMMAR,
    HELD_OUT_FAMILIES,
    LEXICON,
    SURFACE,
    pick,
)

SLICES: dict[str, float] = {name: part["share"] for name, part in GRAMMAR["slices"].items()}
"""Share of scripts per tag-density slice: 0, 1–2, 3–4, 5–7 tags, and deliberate corner cases."""

RELEASED_URL = (
    "https://raw.githubusercontent.com/aytoast/ser/"
    "3d56213460e1b9c833ff086e9edac589bb4d52fa/data/scripts/scripts.json"
)
RELEASED_SHA256 = "4c7c89a3e32885592d2be2dbc72d08638a67e200b861d3a8e2e6ebd97d2e5773"

_WORDS = tuple(sorted(SURFACE))


@dataclass(frozen=True, slots=True)
class Script:
    """One line to be spoken, with its expression written in ElevenLabs-style tags."""

    id: str  # `g-<seed>-000123` if generated, `r-0123` if released
    tagged_text: str  # with `[tags]` and capitals for emphasis: the training target
    slice: str  # a key of `SLICES`, or the released file's own name for it
    domain: str  # one of `DOMAINS`, or the released file's own
    template: str  # name of the template family, `released` for the released scripts
    held_out: bool  # whether the family is kept out of all training

    @property
    def plain_text(self) -> str:
        """The transcript without tags, capitals for emphasis in lower case."""
        return tags.plain_text(self.tagged_text)


def generate(
    n: int,
    seed: int,
    *,
    held_out: bool | None = None,
    slices: Mapping[str, float] | None = None,
    exclude: Collection[str] = (),
    balanced: bool = False,
) -> list[Script]:
    """Generate tagged scripts: the same arguments give the same scripts.

    Every script fits the audio window of 8 s and differs in its words, not only in tags, case or
    punctuation, from all others. About half of the coloured sentences have neutral words, and
    feeling words occur untagged, so that the text alone does not tell the tags.

    Args:
        n: Number of scripts.
        seed: Names the random stream, and the scripts.
        held_out: Only held-out template families (True), only the others (False), or both.
        slices: Shares by slice name, `SLICES` if not given; kept exactly, up to rounding.
        exclude: Plain texts whose words must not come again.
        balanced: Draw all 17 tags about equally often, instead of a long tail.

    A `UserError` if the grammar has no new text left.
    """
    rng = random.Random(f"evoxtral scripts {seed}")
    seen = set(map(text_key, exclude))
    names = []
    shares = slices or SLICES
    for name, end in zip(shares, accumulate(shares.values()), strict=True):
        names += [name] * (round(n * end / sum(shares.values())) - len(names))
    rng.shuffle(names)
    draft = Draft(rng, _families(held_out), Counter() if balanced else None)
    scripts = []
    for name in names:
        text = _unseen(partial(draft.write, name), seen)
        if balanced:
            draft.used.update(set(tags.find_tags(text)))
        family = draft.family
        key, unheard = f"g-{seed}-{len(scripts):06d}", family in HELD_OUT_FAMILIES
        scripts.append(Script(key, text, name, draft.domain, family, unheard))
    return scripts


def plain_sentences(
    n: int, seed: int, *, held_out: bool | None = None, exclude: Collection[str] = ()
) -> list[str]:
    """Generate distinct plain texts of 1–14 words: no tags, no capitals for emphasis.

    Three in five are from template families, one in five phrases without a frame, one in five
    words in random order, which covers the lexicon; `held_out`, `exclude` and errors as for
    `generate`.
    """
    rng = random.Random(f"evoxtral plain sentences {seed}")
    families = _families(held_out)
    seen = set(map(text_key, exclude))
    return [_unseen(lambda: _plain(rng, families), seen) for _ in range(n)]


def word_lists(n: int, seed: int, longest: int, *, exclude: Collection[str] = ()) -> list[str]:
    """Generate distinct sentences of 1 to `longest` words in random order, none as in `exclude`.

    A `UserError` if there is no new text left.
    """
    rng = random.Random(f"evoxtral word lists {seed}")
    seen = set(map(text_key, exclude))
    return [_unseen(lambda: _word_list(rng, rng.randint(1, longest)), seen) for _ in range(n)]


def _families(held_out: bool | None) -> list[str]:
    return [name for name in FAMILIES if held_out in (None, name in HELD_OUT_FAMILIES)]


def _unseen(draw: Callable[[], str | None], seen: set[str]) -> str:
    """Draw until a text comes whose words are not among those seen, and add them."""
    for _ in range(2000):
        text = draw()
        if text and (key := text_key(tags.plain_text(text))) not in seen:
            seen.add(key)
            return text
    raise UserError(f"No new text found beside {len(seen)} others: ask for fewer texts.")


def _plain(rng: random.Random, families: Sequence[str]) -> str:
    draw, domain, mood = rng.random(), pick(rng, DOMAINS), grammar.any_mood(rng)
    n_words = rng.randint(1, 14)
    if draw < 0.6:
        moods = [mood] if n_words < 7 or rng.random() < 0.6 else [mood, grammar.any_mood(rng)]
        sentences = grammar.compose(rng, pick(rng, families), domain, moods, n_words)
        return " ".join(word for words in sentences for word in words)
    if draw >= 0.8:
        return _word_list(rng, n_words)
    words = []
    while len(words) < n_words:
        phrase = pick(rng, GRAMMAR["loose"])
        words += grammar.expand(phrase, grammar.table(domain, mood), rng).split()
    return grammar.capitalised(" ".join(words[:n_words]).rstrip(",.!?")) + "."


def _word_list(rng: random.Random, n_words: int) -> str:
    words = " ".join(SURFACE[pick(rng, _WORDS)] for _ in range(n_words))
    return grammar.capitalised(words) + "."


def fetch_released(cache_dir: Path) -> Path:
    """The file of released scripts in a folder, downloaded if absent and checked by SHA-256.

    A `UserError` if it cannot be downloaded, or is not the pinned one.
    """
    import pooch  # only here: it loads tqdm's notebook bar, which warns where widgets are missing

    name, pinned = "evoxtral_scripts.json", f"sha256:{RELEASED_SHA256}"
    try:
        return Path(pooch.retrieve(RELEASED_URL, pinned, path=cache_dir, fname=name))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Download {RELEASED_URL} by hand and give its path, since fetching failed: {error}"
        ) from error


def read_released(path: Path) -> list[Script]:
    """Read a JSON list of objects with `tagged_text`, `slice_type` and `domain`, as spelt there.

    The released file's other fields disagree with its `tagged_text` in part, and are not read. A
    `UserError` names file and row if it cannot be read, or a row lacks a field.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"Give a readable JSON file of scripts in place of {path}: {error}"
        ) from error
    fields = ("tagged_text", "slice_type", "domain")
    scripts = []
    for index, row in enumerate(rows):
        said = [row.get(name) if isinstance(row, dict) else None for name in fields]
        if not all(isinstance(text, str) and text.strip() for text in said):
            raise UserError(
                f"{path} must hold a JSON list of scripts, and row {index} of it is no object "
                f"with non-empty strings {', '.join(fields)}"
            )
        scripts.append(Script(f"r-{index:04d}", *said, template="released", held_out=False))
    return scripts


def split_released(scripts: Sequence[Script]) -> dict[str, list[Script]]:
    """Split into train, validation and test (808/101/101) exactly as the report did.

    As `train_test_split` of `datasets` with seed 42 twice: 0.2 of all, and 0.5 of that. A
    `UserError` for fewer than 5 scripts, of which a part would be empty.
    """
    if len(scripts) < 5:
        raise UserError(f"Give at least 5 scripts to split; got {len(scripts)}.")
    order, cuts = np.arange(len(scripts)), []
    for share in (0.2, 0.5):  # the first of a permutation are the test part
        order = order[np.random.default_rng(42).permutation(len(order))]
        order, rest = np.split(order, [math.ceil(share * len(order))])
        cuts.append(rest)
    parts = dict(zip(("train", "validation", "test"), (*cuts, order), strict=True))
    return {name: [scripts[i] for i in rows] for name, rows in parts.items()}
