"""How well a base model hears: transcripts, word errors, linear probes; how large its parts are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import MistralCommonBackend, VoxtralConfig, VoxtralForConditionalGeneration

from evoxtral import metrics, tags
from evoxtral.model import LoraShape, count_parameters
from evoxtral.world.base import fingerprints
from evoxtral.world.base.corpus import TEST_SETS, Clip, Kinds
from evoxtral.world.base.model import SHAPE, SPECIAL_TOKENS, build_model, prompt_ids
from evoxtral.world.speech.audibility import linear_probe

_BATCH = 64


def _windows(
    model: VoxtralForConditionalGeneration, clips: Sequence[Clip]
) -> Iterator[tuple[Tensor, list[Clip]]]:
    """Batches of full windows, shape (batch, bands, mel frames), and their clips."""
    config = model.config.audio_config
    for start in range(0, len(clips), _BATCH):
        batch = list(clips[start : start + _BATCH])
        shape = (len(batch), 2 * config.max_source_positions, config.num_mel_bins)
        mels = np.empty(shape, np.float32)
        for row, clip in zip(mels, batch, strict=True):
            row[: len(clip.mel)], row[len(clip.mel) :] = clip.mel, clip.floor
        yield torch.from_numpy(mels).transpose(1, 2).to(model.device), batch


@torch.inference_mode()
def transcribe(
    model: VoxtralForConditionalGeneration, tokenizer: MistralCommonBackend, clips: Sequence[Clip]
) -> list[str]:
    """Greedy transcripts of all clips, through Voxtral's own `generate`."""
    audio_tokens = model.config.audio_config.max_source_positions // 4
    prompt = torch.tensor(prompt_ids(tokenizer, audio_tokens), device=model.device)
    texts = []
    for mels, batch in _windows(model, clips):
        ids = prompt.expand(len(batch), -1)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "input_features": mels}
        out = model.generate(**inputs, max_new_tokens=48, do_sample=False)
        texts += [tokenizer.decode(row, skip_special_tokens=True) for row in out[:, len(prompt) :]]
    return texts


def transcription_scores(
    model: VoxtralForConditionalGeneration,
    tokenizer: MistralCommonBackend,
    kinds: Kinds,
    lines: Sequence[str],
) -> pd.DataFrame:
    """Corpus word error rate on each test set, with 95 % bootstrap intervals over clips.

    One row per test set: `clips`, `wer` (as written), `wer_normalised` (English normaliser) with
    `low` and `high`, `tagged`: transcripts that hold any bracket, and `read`: distinct texts that
    are among the `lines` it has read.
    """
    rows, normaliser, known = [], metrics.normaliser(), fingerprints(lines)
    for kind, label in TEST_SETS.items():
        heard = transcribe(model, tokenizer, kinds[kind])
        spoken = [tags.plain_text(clip.text) for clip in kinds[kind]]
        scores = metrics.evaluate(spoken, heard, normalise=normaliser)
        interval = scores.intervals("strict")["wer_normalised"]
        wer = scores.table("strict")["wer"].value
        tagged = sum("[" in text for text in heard)
        read = np.isin(fingerprints(spoken), known).sum()
        ends = interval.value, interval.low, interval.high
        rows.append((label, len(heard), wer, *ends, tagged, read))
    columns = ["set", "clips", "wer", "wer_normalised", "low", "high", "tagged", "read"]
    return pd.DataFrame(rows, columns=columns)


def probe_scores(model: VoxtralForConditionalGeneration, kinds: Kinds) -> pd.DataFrame:
    """How well a line through the frozen encoder's features tells each tag from plain speech.

    Tested on other sentences in held-out voices: what a frozen encoder does not hold, fine-tuning
    cannot learn. One row per tag: `tag`, `group`, `auc` (ROC, chance 0.5), `clips`.
    """
    rows = []
    parts = ("probe_train", "probe_test")
    plain = [_pooled(model, kinds[f"{part}:plain"]) for part in parts]
    for tag in tags.TAGS:
        tagged = [_pooled(model, kinds[f"{part}:{tag}"]) for part in parts]
        train, test = zip(tagged, plain, strict=True)
        auc = linear_probe(train, test, 0.05)
        rows.append((tag, tags.group_of(tag), auc, sum(map(len, test))))
    return pd.DataFrame(rows, columns=["tag", "group", "auc", "clips"])


@torch.inference_mode()
def _pooled(model: VoxtralForConditionalGeneration, clips: Sequence[Clip]) -> NDArray[np.float32]:
    """Mean, deviation and maximum of each clip's encoder features, shape (n, 3 * width)."""
    pooled = []
    for mels, batch in _windows(model, clips):
        features = model.model.audio_tower(mels).last_hidden_state.float()
        for frames, clip in zip(features, batch, strict=True):
            heard = frames[: max(2, len(clip.mel) // 2)]
            pooled.append(torch.cat([heard.mean(0), heard.std(0), heard.amax(0)]).cpu().numpy())
    return np.stack(pooled)


def architecture_sizes(merges: int) -> pd.DataFrame:
    """Parameters of every part (`part | tiny | mini`), beside those of Voxtral-Mini-3B."""
    with torch.device("meta"):
        tiny = build_model(SHAPE, 256 + merges + len(SPECIAL_TOKENS)).config
    sizes = {}
    for name, config in (("tiny", tiny), ("mini", VoxtralConfig())):
        counted = count_parameters(config, LoraShape()).set_index("part")
        sizes[name] = counted["total"] - counted["trainable"]  # without the adapters
        sizes[name]["audio positions per window"] = config.audio_config.max_source_positions // 4
    return pd.DataFrame(sizes).rename({"all": "all parameters"}).rename_axis("part").reset_index()


def corpus_sizes(kinds: Kinds) -> pd.DataFrame:
    """Clips, hours, voices and distinct texts of each part of the corpus."""
    rows = []
    for part, group in groupby(kinds, lambda kind: kind.split(":")[0]):
        members = [kinds[kind] for kind in group]
        hours = sum(sum(len(clip.mel) / 100 / 3600 for clip in member) for member in members)
        clips = [clip for member in members for clip in member]
        voices, texts = {clip.voice for clip in clips}, {clip.text for clip in clips}
        rows.append((part, len(clips), hours, len(voices), len(texts)))
    return pd.DataFrame(rows, columns=["part", "clips", "hours", "voices", "texts"])
