"""Speech by ElevenLabs: scripts get voices and a price and, once it is allowed, sound."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from evoxtral import UserError, runs, tags
from evoxtral.clips.audio import (
    SAMPLE_RATE,
    SILENCE,
    BadAudioError,
    audio_digest,
    decode,
    write_audio,
)
from evoxtral.clips.clip import Clip, RowError, complete, folder_of, write_splits
from evoxtral.params import DataMix
from evoxtral.processes import progress
from evoxtral.providers import (
    RETRIES,
    TIMEOUT,
    bought,
    buyers,
    check_url,
    one_line,
    read_key,
    refusal,
    require,
)
from evoxtral.world.scripts import Script

PREMADE = {
    "EXAVITQu4vr4xnSDxMaL": "female",  # Sarah
    "FGY2WhTYpPnrIDTdsKH5": "female",  # Laura
    "Xb7hH8MSUJpSbSDYk0k2": "female",  # Alice
    "XrExE9yKIg1WjnnlVkGX": "female",  # Matilda
    "JBFqnCBsd6RMkjVDRZzb": "male",  # George
    "IKne3meq5aSn9XLyUdCD": "male",  # Charlie
    "nPczCjzI2devNBz1zQrb": "male",  # Brian
    "onwK4e9ZLuTAKqWW03F9": "male",  # Daniel
}
"""Voices that ElevenLabs offers to every account; not tried here, for lack of a key."""

FAILURES = "failures.jsonl"

_KIND = "speech"
_FORMAT = "pcm_16000"  # 16-bit little-endian mono at 16 kHz, as the models hear it
_MAX_CHARACTERS = 5_000  # of a request to `eleven_v3`, tags included
_FASTEST = 6.0  # words a second, about twice a brisk reader
_FAILED_SHARE = 0.05
_LONGEST_WAIT = 60.0
_VOICE = re.compile(r"[A-Za-z0-9]{1,64}")

Line = tuple[str, Clip]
"""Name of the audio, and the clip it makes, still without duration and digest."""


class ProviderError(Exception):
    """A request that brought no usable sound; the message is the reason.

    Attributes:
        perhaps_billed: whether the provider may charge for it.
    """

    def __init__(self, reason: str, *, perhaps_billed: bool = True) -> None:
        super().__init__(one_line(reason))
        self.perhaps_billed = perhaps_billed


def speech(cfg: DataMix, texts: Mapping[str, Sequence[Script]]) -> runs.StageResult:
    """The stage that holds bought speech as an AudioFolder.

    Clips that failed are in its `failures.jsonl`, one in twenty at most. A killed run has lost at
    most the requests that were under way; the next one buys what is missing.

    Args:
        cfg: names voices and settings, and what may be spent.
        texts: what to speak, by split.

    Raises:
        UserError: more would have to be paid for than is allowed, a script cannot be spoken, the
            provider does not serve, or too many clips failed.
    """
    lines = _cast(cfg, texts)

    def make(folder: Path) -> None:
        failed = _buy(cfg, lines)
        failures = [
            {
                "id": clip.id,
                "voice": clip.voice,
                "reason": str(failed[key]),
                "perhaps_billed": failed[key].perhaps_billed,
            }
            for key, clip in lines
            if key in failed
        ]
        runs.write_jsonl(folder / FAILURES, failures)
        if len(failures) > _FAILED_SHARE * len(lines):
            raise UserError(
                f"{len(failures)} of {len(lines)} clips failed, more than the allowed "
                f"{_FAILED_SHARE:.0%}, first {failures[0]['id']!r}: {failures[0]['reason']}; all "
                f"are in {folder / FAILURES}; run again to ask for them again"
            )
        _write(folder, [(key, clip) for key, clip in lines if key not in failed])

    rows = [[clip.model_dump(mode="json"), key] for key, clip in lines]
    return runs.stage("speech", cfg.profile, {"clips": runs.digest(rows), **_settings(cfg)}, make)


def voices(named: str) -> dict[str, str | None]:
    """Gender, if known, by id of the voices that a parameter names.

    Args:
        named: `premade`, or ids with commas between, each perhaps with `:female` or `:male`.

    Raises:
        UserError: it is neither.

    >>> voices("one:female, two")
    {'one': 'female', 'two': None}
    """
    if named == "premade":
        return {**PREMADE}
    found: dict[str, str | None] = {}
    for part in filter(None, map(str.strip, named.split(","))):
        name, colon, gender = part.partition(":")
        if colon and gender not in ("female", "male"):
            raise UserError(f"voices holds {part!r}: after an id write :female, :male or nothing")
        # The id becomes part of the request's address.
        if not _VOICE.fullmatch(name) or name in found:
            raise UserError(f"voice {name!r} is no id, or given twice: its letters and digits once")
        found[name] = gender or None
    if not found:
        raise UserError("give at least one voice")
    return found


def _cast(cfg: DataMix, texts: Mapping[str, Sequence[Script]]) -> list[Line]:
    """Give every script a voice: all in random order, then all again (the note's section 3)."""
    genders = voices(cfg.voices)
    lines: dict[str, Line] = {}
    for split, scripts in texts.items():
        rng, turn = random.Random(f"evoxtral cast {cfg.seed} {split}"), []
        for script in scripts:
            turn = turn or rng.sample(list(genders), len(genders))
            voice = turn.pop()
            if script.id in lines:
                raise UserError(f"id {script.id!r} occurs more than once: give each its own")
            clip = _clip(script, split, voice, genders[voice])
            request = {"text": clip.tagged_text, "voice": voice, **_settings(cfg)}
            key = runs.digest({"provider": "elevenlabs", "format": _FORMAT, **request})
            lines[script.id] = key, clip
    return list(lines.values())


def _settings(cfg: DataMix) -> dict[str, Any]:
    """What decides how a text sounds, apart from text and voice."""
    return {"model": cfg.speech_model, "stability": cfg.stability, "seed": None, "language": None}


def _clip(script: Script, split: str, voice: str, gender: str | None) -> Clip:
    """Find out before anything is paid for what would fail after."""
    text = script.tagged_text
    if len(text) > _MAX_CHARACTERS or not tags.strip_tags(text):
        raise UserError(
            f"{script.id!r} cannot be spoken: give it words, and at most {_MAX_CHARACTERS:,} "
            f"characters, not {len(text):,}"
        )
    row = {
        "file_name": f"{script.id}.flac",
        "id": script.id,
        "tagged_text": text,
        "slice": script.slice,
        "domain": script.domain,
        "template": script.template,
        "held_out": script.held_out,
        "voice": voice,
        "gender": gender,
        "source": "synthetic",
    }
    try:
        return complete(row, split)
    except RowError as error:
        raise UserError(f"{script.id!r} cannot become a clip: {error}") from error


def _buy(cfg: DataMix, lines: Sequence[Line]) -> dict[str, ProviderError]:
    """Ask for all audio that is not there; what failed, by name."""
    with runs.exclusive(runs.bought_dir() / _KIND):
        missing = {key: clip for key, clip in lines if not _sound(_path(key))}
        paid = sum(key not in missing for key, _ in lines)
        characters = sum(len(clip.tagged_text) for clip in missing.values())
        price = f", {characters * cfg.speech_price / 1e6:,.2f} in money"
        if characters > cfg.allow_characters:
            raise UserError(
                f"{len(lines)} clips, {paid} of them paid for already; {len(missing)} requests "
                f"left ({characters:,} characters{price if cfg.speech_price else ''}): set "
                f"allow_characters to {characters} to spend them (it is {cfg.allow_characters}; "
                "nothing was spent)"
            )
        if not missing:
            return {}
        with progress(len(lines), "speech", unit="clip", done=paid) as bar:
            return _buy_missing(cfg, missing, bar)


def _buy_missing(cfg: DataMix, missing: Mapping[str, Clip], bar: tqdm) -> dict[str, ProviderError]:
    sdk, httpx = require("elevenlabs.client"), require("httpx")
    key, url = read_key("ELEVENLABS_API_KEY"), check_url(cfg.speech_url)
    failed: dict[str, ProviderError] = {}
    with (
        # A redirect would carry the key to another host.
        httpx.Client(timeout=TIMEOUT, follow_redirects=False) as http,
        buyers(cfg.concurrency) as pool,
    ):
        client = sdk.ElevenLabs(api_key=key, base_url=url, timeout=TIMEOUT, httpx_client=http)
        asked = {
            pool.submit(_fetch, client, cfg, clip, _path(name)): name
            for name, clip in missing.items()
        }
        for done in as_completed(asked):
            try:
                done.result()
                bar.update()
            except ProviderError as error:
                failed[asked[done]] = error
    return failed


def _path(key: str) -> Path:
    return bought(_KIND, key, ".flac")


def _sound(path: Path) -> bool:
    """Whether audio is there and whole."""
    try:
        decode(path)
    except BadAudioError:
        return False
    return True


def _fetch(client: Any, cfg: DataMix, clip: Clip, path: Path) -> None:
    """Buy the audio of a clip; it is on disk when this returns."""
    write_audio(path, check_speech(_ask(client, cfg, clip), clip.tagged_text))


def _ask(client: Any, cfg: DataMix, clip: Clip) -> bytes:
    """The reply to a request, asked for again where nothing can have been billed.

    That is where the server was busy, failed or was never reached. Not the SDK's `max_retries`:
    version 2.78 ignores it for `text_to_speech.convert`, whose reply is a stream.
    """
    httpx, api_error = require("httpx"), require("elevenlabs.core.api_error").ApiError
    for attempt in range(RETRIES + 1):
        wait = 2.0**attempt
        try:
            return _convert(client, cfg, clip)
        except api_error as error:
            status, detail = error.status_code or 0, error.body
            if isinstance(detail, dict):
                detail = detail.get("detail", detail)
            reason = refusal("ElevenLabs", status, str(detail or ""))
            if status not in (408, 409, 429) and status < 500:
                break
            asked = (error.headers or {}).get("retry-after", "")
            wait = float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else wait
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = f"no connection ({error})"
        except httpx.HTTPError as error:
            what = "timed out" if isinstance(error, httpx.TimeoutException) else "broke off"
            raise ProviderError(f"the reply {what} ({error!r})") from None
        if attempt < RETRIES:
            time.sleep(min(wait, _LONGEST_WAIT))
    raise ProviderError(reason, perhaps_billed=False)


def _convert(client: Any, cfg: DataMix, clip: Clip) -> bytes:
    with client.text_to_speech.with_raw_response.convert(
        clip.voice,
        text=clip.tagged_text,
        model_id=cfg.speech_model,
        output_format=_FORMAT,
        voice_settings=require("elevenlabs").VoiceSettings(stability=cfg.stability),
    ) as response:
        kind = {name.lower(): value for name, value in response.headers.items()}["content-type"]
        if kind.startswith(("application/json", "text/")):
            raise ProviderError("the reply is text, not audio")
        return b"".join(response.data)


def check_speech(pcm: bytes, tagged_text: str) -> npt.NDArray[np.float32]:
    """Samples of a reply, shape (n,), in [-1, 1], after every check that needs no ears.

    A connection that breaks off is noticed before. What is found here is a reply that the
    provider itself ended too early, if no voice could have said the words in the time.

    Raises:
        ProviderError: the reply was cut off, is silent, or is too short to hold all words.
    """
    if len(pcm) % 2:
        raise ProviderError(f"truncated: {len(pcm):,} bytes are no whole samples")
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768
    seconds = len(samples) / SAMPLE_RATE
    least = len(tags.strip_tags(tagged_text).split()) / _FASTEST
    if seconds < max(least, 0.1):
        raise ProviderError(
            f"truncated: {seconds:.2f} s cannot hold its words, which take {least:.2f} s at least"
        )
    if np.abs(samples).max() < SILENCE:
        raise ProviderError("the reply is silent")
    return samples


def _write(folder: Path, lines: Sequence[Line]) -> None:
    """Write audio, metadata and card."""
    splits: dict[str, list[Clip]] = {}
    for key, clip in lines:
        samples, _ = decode(_path(key))
        target = folder / folder_of(clip.split) / clip.file_name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(_path(key), target)
        measured = {"seconds": len(samples) / SAMPLE_RATE, "sha256": audio_digest(samples)}
        splits.setdefault(clip.split, []).append(clip.model_copy(update=measured))
    write_splits(folder, splits)
