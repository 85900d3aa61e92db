"""Scripts by a language model and speech by ElevenLabs, as the parameters order them.

What is paid for goes to `bought/`, which no stage and no cleaning touches; the stages hold what
was made of it. A stage that is done asks nobody again: later notebooks need neither key nor
allowance.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from evoxtral import UserError, providers, runs, tags
from evoxtral.params import DataMix
from evoxtral.providers import CastVoice, Line
from evoxtral.world import scripts
from evoxtral.world.scripts import Script

PREMADE = (
    CastVoice("EXAVITQu4vr4xnSDxMaL", "female"),  # Sarah
    CastVoice("FGY2WhTYpPnrIDTdsKH5", "female"),  # Laura
    CastVoice("Xb7hH8MSUJpSbSDYk0k2", "female"),  # Alice
    CastVoice("XrExE9yKIg1WjnnlVkGX", "female"),  # Matilda
    CastVoice("JBFqnCBsd6RMkjVDRZzb", "male"),  # George
    CastVoice("IKne3meq5aSn9XLyUdCD", "male"),  # Charlie
    CastVoice("nPczCjzI2devNBz1zQrb", "male"),  # Brian
    CastVoice("onwK4e9ZLuTAKqWW03F9", "male"),  # Daniel
)
"""Voices that ElevenLabs offers to every account; not tried here, for lack of a key."""

SCRIPTS = "scripts.json"

_GENDERS = ("female", "male")
_TAGS = set(tags.TAGS)
_MILLION = 1e6


def voices(named: str) -> tuple[CastVoice, ...]:
    """The voices of a parameter.

    Args:
        named: `premade`, or ids with commas between, each perhaps with `:female` or `:male`.

    Raises:
        UserError: It is neither.

    >>> [(voice.id, voice.gender) for voice in voices("one:female, two")]
    [('one', 'female'), ('two', None)]
    """
    if named == "premade":
        return PREMADE
    found = []
    for part in filter(None, map(str.strip, named.split(","))):
        name, colon, gender = part.partition(":")
        if colon and gender not in _GENDERS:
            raise UserError(f"voices holds {part!r}: after an id write :female, :male or nothing")
        found.append(CastVoice(name, gender or None))
    return tuple(found)


def speech(cfg: DataMix, texts: Mapping[str, Sequence[Script]]) -> runs.StageResult:
    """The stage that holds bought speech as an AudioFolder.

    Args:
        cfg: names voices and settings, and what may be spent.
        texts: what to speak, by split.

    Raises:
        UserError: more would have to be paid for than is allowed, or the provider does not serve.
    """
    settings = providers.SpeechSettings(model=cfg.speech_model, stability=cfg.stability)
    cast = voices(cfg.voices)
    lines = [
        line
        for split, rows in texts.items()
        for line in providers.cast(rows, cast, split, cfg.seed)
    ]

    def make(folder: Path) -> None:
        providers.build_speech(
            folder,
            lines,
            settings,
            runs.bought_dir() / "speech",
            allow_characters=cfg.allow_characters,
            price_per_character=cfg.speech_price / _MILLION or None,
            service=providers.SpeechService(cfg.concurrency, base_url=cfg.speech_url),
        )

    return runs.stage("speech", cfg.profile, _order(lines, settings), make)


def _order(lines: Sequence[Line], settings: providers.SpeechSettings) -> dict[str, object]:
    """What decides the bought corpus: every clip's row, and what was asked for it."""
    rows = [[line.clip().model_dump(mode="json"), line.key(settings)] for line in lines]
    return {"clips": runs.digest(rows), **settings.model_dump()}


def written(cfg: DataMix, released: Sequence[Script]) -> Path:
    """The scripts of a language model, in the format of the released ones.

    As many as training, validation and test ask for, steered to the composition note's targets.
    The released training scripts that keep to the vocabulary are the examples to start from;
    nothing near them, or near the released validation and test scripts, comes again.

    Args:
        cfg: names the model, the numbers, and what may be spent.
        released: the released scripts, in file order.

    Raises:
        UserError: more would have to be paid for than is allowed, or the provider does not serve.
    """
    if not cfg.script_model:
        raise UserError("script_model is empty: give the id of the model that writes the scripts")
    known = scripts.split_released(released)
    seeds = [
        row for row in known.pop("train") if {*tags.find_tags(row.tagged_text)} <= {*tags.TAGS}
    ]
    exclude = [row.tagged_text for rows in known.values() for row in rows]
    plan = providers.ScriptPlan(
        chat=providers.ChatSettings(model=cfg.script_model),
        scripts=cfg.train + cfg.validation + cfg.test,
        seed=cfg.seed,
        votes=cfg.votes,
    )
    given = runs.digest([[row.tagged_text for row in seeds], exclude])
    order = {"plan": plan.model_dump(), "given": given}
    store = runs.bought_dir() / f"scripts-{runs.digest(order)[:12]}"

    def make(folder: Path) -> None:
        providers.write_scripts(
            store,
            plan,
            seeds,
            exclude=exclude,
            allow_requests=cfg.allow_requests,
            service=providers.ChatService(cfg.concurrency, base_url=cfg.script_url),
        )
        for name in (SCRIPTS, "rejects.jsonl"):
            shutil.copyfile(store / name, folder / name)

    return runs.stage("scripts", cfg.profile, order, make).path / SCRIPTS
