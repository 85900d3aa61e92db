"""Needs counted from shapes, against operations counted while the small model runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import VoxtralForConditionalGeneration

from evoxtral.forecast import Shapes
from evoxtral.model import Prompter, Voxtral, encode, open_base
from evoxtral.speed import floors

CLIPS = 2


@pytest.fixture(scope="module")
def base() -> Voxtral:
    opened = open_base("tiny", "cpu")
    opened.model.set_attn_implementation("eager")  # whose products are all counted
    return opened


@pytest.fixture(scope="module")
def shapes(base: Voxtral) -> Shapes:
    return Shapes(base.model.config, rank=8)


def counted(work: Callable[[], object]) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def write(model: VoxtralForConditionalGeneration, prompter: Prompter, tokens: int) -> None:
    """A prefill of clips, and tokens after it, as many for each."""
    config = model.config
    features = torch.zeros(CLIPS, config.audio_config.max_source_positions // 4, 4 * 144)
    heard = model.model.multi_modal_projector(features)
    words = model.get_input_embeddings()
    request = words(torch.full((CLIPS, floor_request(prompter)), 5))
    out = model.model.language_model(inputs_embeds=torch.cat([request, heard], 1), use_cache=True)
    model.lm_head(out.last_hidden_state[:, -1])
    for _ in range(tokens - 1):
        out = model.model.language_model(
            inputs_embeds=words(torch.full((CLIPS, 1), 5)), past_key_values=out.past_key_values
        )
        model.lm_head(out.last_hidden_state[:, -1])


def floor_request(prompter: Prompter) -> int:
    return len(prompter.prompt(1)) - prompter.tokens_per_window


def test_the_encoder_is_counted(base: Voxtral, shapes: Shapes) -> None:
    config = base.model.config.audio_config
    mels = torch.zeros(CLIPS, config.num_mel_bins, 2 * config.max_source_positions)
    need = floors.encoding(shapes, CLIPS, "float32")
    assert need.flops == pytest.approx(counted(lambda: encode(base.model, mels)), rel=0.01)
    assert need.resident == 4 * shapes.encoder_weights
    written = CLIPS * config.max_source_positions * config.hidden_size * 4
    assert need.bytes == need.resident + written + 4 * mels.numel()


@pytest.mark.parametrize("tokens", [1, 2, 30])
def test_a_prefill_and_its_steps_are_counted(base: Voxtral, shapes: Shapes, tokens: int) -> None:
    prompter = Prompter(base)
    lengths = [[tokens]] * CLIPS
    prefill, steps = floors.decoding(shapes, floor_request(prompter), lengths, "float32")
    found = counted(lambda: write(base.model, prompter, tokens))
    # Eager attention multiplies what the causal mask hides: a few percent more than is needed.
    assert prefill.flops + steps.flops == pytest.approx(found, rel=0.08)
    assert prefill.flops + steps.flops < found
    assert (steps.flops == 0) == (tokens == 1)


def test_completions_share_the_prefill_and_the_reading_of_weights(shapes: Shapes) -> None:
    one, first = floors.decoding(shapes, 9, [[20], [30]], "float32")
    four, steps = floors.decoding(shapes, 9, [[20] * 4, [30] * 4], "float32")
    assert one == four
    assert steps.flops == 4 * first.flops
    weights = 29 * 2 * shapes.step_bytes  # float32 is twice the bytes that step_bytes counts
    assert steps.bytes - weights == 4 * (first.bytes - weights)
    half = floors.decoding(shapes, 9, [[20], [30]], "bfloat16")[1]
    assert 2 * half.bytes == first.bytes


def test_an_example_costs_what_its_length_says(shapes: Shapes) -> None:
    short, long = (floors.training(shapes, 9, [n] * 16, 16, "bfloat16") for n in (20, 40))
    assert short.flops < long.flops < 2 * short.flops
    assert short.bytes == long.bytes
    twice = floors.training(shapes, 9, [20] * 32, 16, "bfloat16")
    assert twice.flops == pytest.approx(2 * short.flops)
    assert twice.bytes == 2 * short.bytes
