"""The offline script generator: seeded, closed vocabulary, five slices, eight domains."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from evoxtral import UserError
from evoxtral.tags import find_tags, text_key
from evoxtral.world.scripts.edge import EDGE_CASES
from evoxtral.world.scripts.families import FAMILIES
from evoxtral.world.scripts.grammar import pick
from evoxtral.world.scripts.plan import TagDrawer
from evoxtral.world.scripts.script import DOMAINS, SLICES, Script, fits
from evoxtral.world.scripts.writer import Brief, draft

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from evoxtral.world.scripts.family import Family
    from evoxtral.world.scripts.placement import Draft


_TAG_COUNTS: dict[str, tuple[int, ...]] = {
    "plain": (0,),
    "light": (1, 2),
    "moderate": (3, 4),
    "dense": (5, 5, 5, 6, 6, 7),
}
_ATTEMPTS = 2000


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

    Every script fits the audio window (`estimated_seconds` ≤ 7 s) and differs in its words, not
    only in tags, case or punctuation, from all others and from `exclude`. About half of the
    coloured sentences have neutral words, and feeling words occur untagged, so that the text
    alone does not tell the tags.

    Args:
        n: Number of scripts.
        seed: Names the random stream, and the scripts: ``g-<seed>-000000`` and so on. Two calls
            whose results are used together need two seeds.
        held_out: False for training template families only, True for held-out ones only, None
            for both.
        slices: Shares by slice name, `SLICES` if not given; kept exactly, up to rounding.
        exclude: Plain texts that must not come again.
        balanced: Draw tags so that all 17 come about equally often, instead of a long tail.

    Raises:
        UserError: `slices` names an unknown slice, or the grammar has no new text left.
    """
    rng = random.Random(f"evoxtral scripts {seed}")
    drawer = TagDrawer(balanced=balanced)
    choice = families(held_out)
    seen = {text_key(text) for text in exclude}
    scripts = []
    for index, name in enumerate(_slice_names(rng, n, SLICES if slices is None else slices)):
        for _ in range(_ATTEMPTS):
            brief = Brief(pick(rng, choice), pick(rng, DOMAINS), drawer)
            written = _write(rng, brief, name)
            if written is None:
                continue
            script = _script(f"g-{seed}-{index:06d}", written.render(), name, brief)
            key = text_key(script.plain_text)
            if key not in seen and fits(script.tagged_text):
                break
        else:
            raise UserError(
                f"No new {name!r} text found after {index} scripts: ask for fewer scripts, "
                "exclude less, or widen `held_out` and `slices`."
            )
        seen.add(key)
        drawer.record(find_tags(script.tagged_text))
        scripts.append(script)
    return scripts


def families(held_out: bool | None) -> tuple[Family, ...]:
    """Return the training families (False), the held-out families (True) or all (None)."""
    return tuple(f for f in FAMILIES if held_out is None or f.held_out == held_out)


def _write(rng: random.Random, brief: Brief, slice_name: str) -> Draft | None:
    if slice_name == "edge":
        return pick(rng, EDGE_CASES)(rng, brief)
    n_tags = pick(rng, _TAG_COUNTS[slice_name])
    return draft(rng, brief, brief.drawer.draw(rng, n_tags, brief.domain))


def _script(script_id: str, text: str, slice_name: str, brief: Brief) -> Script:
    family = brief.family
    return Script(script_id, text, slice_name, brief.domain, family.name, family.held_out)


def _slice_names(rng: random.Random, n: int, shares: Mapping[str, float]) -> list[str]:
    """Return `n` slice names in random order, in proportion to their shares."""
    unknown = sorted(set(shares) - set(SLICES))
    if unknown or not sum(shares.values()) > 0 or min(shares.values()) < 0:
        raise UserError(
            f"Give `slices` shares ≥ 0, not all 0, for names among {', '.join(SLICES)}"
            + (f"; unknown: {', '.join(unknown)}." if unknown else ".")
        )
    names: list[str] = []
    cumulative, total = 0.0, sum(shares.values())
    for name, share in shares.items():
        cumulative += share
        names += [name] * (round(n * cumulative / total) - len(names))
    rng.shuffle(names)
    return names
