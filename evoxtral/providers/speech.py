"""A corpus spoken by ElevenLabs: priced, confirmed, bought once, resumable.

    <folder>/speech.json               what the corpus is made of
    <folder>/failures.jsonl            clips that the last run did not get, and why
    <folder>/<split's folder>/…        an AudioFolder like any other (`dataset.load`)

Audio goes to the cache first. A killed run has lost at most the requests that were under way, as
many as `concurrency`; the next run buys what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs
from evoxtral.progress import progress
from evoxtral.providers.access import read_key
from evoxtral.providers.casting import Line, SpeechEstimate, SpeechSettings, estimate_speech
from evoxtral.providers.claims import claim
from evoxtral.providers.elevenlabs import BASE_URL, ElevenLabs, check_speech
from evoxtral.providers.journal import Journal
from evoxtral.providers.retry import Patience, ProviderError
from evoxtral.providers.speech_cache import SpeechCache
from evoxtral.providers.speech_corpus import write_corpus

FAILURES = "failures.jsonl"
_CLAIM = "speech.json"


@dataclass(frozen=True)
class SpeechService:
    """Where and how the provider is asked; changes no sample.

    Attributes:
        concurrency: Requests at a time; plans allow 2 and more.
        key_variable: Environment variable that holds the key.
        base_url: Of the provider.
        patience: Timeouts and repetitions.
    """

    concurrency: int = 2
    key_variable: str = "ELEVENLABS_API_KEY"
    base_url: str = BASE_URL
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UserError(f"concurrency must be at least 1, not {self.concurrency}")


@dataclass(frozen=True)
class SpeechRun:
    """What a run did.

    Attributes:
        before: The estimate that was confirmed.
        clips: Clips of the corpus now, by split.
        failures: Reason by id of the clips that are not in it.
    """

    before: SpeechEstimate
    clips: Mapping[str, int]
    failures: Mapping[str, str]


def price_speech(
    lines: Sequence[Line], settings: SpeechSettings, cache: Path, **prices: float | None
) -> SpeechEstimate:
    """What `build_speech` would pay for; asks nobody.

    Args:
        lines: What to speak.
        settings: How.
        cache: Folder of the bought audio.
        prices: `credits_per_character`, `price_per_character` (see `estimate_speech`).
    """
    return estimate_speech(lines, settings, SpeechCache(cache).keys(), **prices)


def build_speech(
    folder: Path | str,
    lines: Sequence[Line],
    settings: SpeechSettings,
    cache: Path | str,
    *,
    allow_characters: int = 0,
    max_failed_share: float = 0.05,
    price_per_character: float | None = None,
    service: SpeechService | None = None,
) -> SpeechRun:
    """Buy the clips that are not in the cache, and write the corpus.

    Args:
        folder: Where to; empty, absent, or left by an earlier run of the same corpus.
        lines: What to speak.
        settings: How.
        cache: Folder of bought audio, shared by corpora; keep it.
        allow_characters: Confirmation: most characters that may be paid for. With 0 only what
            is in the cache is used.
        max_failed_share: Clips that may be missing, as a share of all.
        price_per_character: Of your plan and model, for the estimate; None if not known.
        service: The defaults if None.

    Raises:
        UserError: More would have to be paid for than is allowed, the provider refuses the key,
            too many clips failed, or the folder holds something else. What was bought stays in
            the cache.
    """
    folder, service = Path(folder).absolute(), service or SpeechService()
    with runs.exclusive(folder), runs.exclusive(Path(cache).absolute()):
        store = SpeechCache(Path(cache).absolute())
        paid = store.keys()
        estimate = estimate_speech(lines, settings, paid, price_per_character=price_per_character)
        _confirm(estimate, allow_characters)
        _claim(folder, lines, settings)
        wanted = {line.key(settings): line for line in lines}
        missing = {key: line for key, line in wanted.items() if key not in paid}
        reasons = _buy(missing, settings, store, service, folder / FAILURES, estimate)
        failures = {
            line.script.id: reasons[line.key(settings)]
            for line in lines
            if line.key(settings) in reasons
        }
        _judge(failures, len(lines), max_failed_share, folder / FAILURES)
        clips = write_corpus(folder, lines, settings, store, set(reasons))
        return SpeechRun(estimate, clips, failures)


def _confirm(estimate: SpeechEstimate, allowed: int) -> None:
    if estimate.characters > allowed:
        raise UserError(
            f"{estimate}: set allow_characters to {estimate.characters} to spend them "
            f"(it is {allowed}; nothing was spent)"
        )


def _claim(folder: Path, lines: Sequence[Line], settings: SpeechSettings) -> None:
    key = sorted([line.split, line.script.id, line.key(settings)] for line in lines)
    claim(folder, _CLAIM, key, {"clips": len(lines), "settings": settings.model_dump()})


def _buy(
    missing: Mapping[str, Line],
    settings: SpeechSettings,
    store: SpeechCache,
    service: SpeechService,
    failures: Path,
    estimate: SpeechEstimate,
) -> dict[str, str]:
    """Ask for all missing audio; reasons by key where none came."""
    runs.write_bytes(failures, b"")
    if not missing:
        return {}
    key = read_key(service.key_variable)
    client = ElevenLabs(key, settings, service.patience, service.base_url)
    reasons: dict[str, str] = {}
    with ExitStack() as stack:
        bar = stack.enter_context(
            progress(estimate.clips, "speech", unit="clip", done=estimate.paid)
        )
        stack.callback(client.close)
        pool = ThreadPoolExecutor(service.concurrency)
        # Requests under way are paid for: on any way out they are waited for and kept.
        stack.callback(pool.shutdown, cancel_futures=True)
        ledger = store.open()
        asked = {}
        for name, line in missing.items():
            asked[pool.submit(_fetch, client, store, ledger, name, line)] = name
        for done in as_completed(asked):
            failed = _failure(done, missing[asked[done]])
            if failed is not None:
                runs.append_jsonl(failures, [failed])
                reasons[asked[done]] = failed["reason"]
            bar.update(failed is None)
    return reasons


def _fetch(client: ElevenLabs, store: SpeechCache, ledger: Journal, key: str, line: Line) -> None:
    """Buy one clip; the ledger has the reply before anything can go wrong with it."""
    spoken = client.speak(line.script.tagged_text, line.voice.id)
    ledger.append(
        {
            "key": key,
            "characters": len(line.script.tagged_text),
            "billed": spoken.billed,
            "request_id": spoken.request_id,
            "seconds": len(spoken.pcm) / 32_000,
        }
    )
    store.put(key, check_speech(spoken.pcm, line.script.tagged_text))


def _failure(done: Future[None], line: Line) -> dict[str, Any] | None:
    """The row of a request that failed, None if it did not."""
    try:
        done.result()
    except ProviderError as error:
        if error.fatal:
            raise UserError(
                f"ElevenLabs refuses to serve: {error}; check key and credit, then run again: "
                "what was bought is kept"
            ) from None
        return {
            "id": line.script.id,
            "voice": line.voice.id,
            "reason": str(error),
            "perhaps_billed": error.perhaps_billed,
        }
    return None


def _judge(failures: Mapping[str, str], clips: int, share: float, file: Path) -> None:
    if len(failures) > share * clips:
        name, reason = next(iter(failures.items()))
        raise UserError(
            f"{len(failures)} of {clips} clips failed, more than the allowed {share:.0%}, first "
            f"{name!r}: {reason}; all are in {file}; run again to ask for them again"
        )
