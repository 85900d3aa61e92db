"""Who is heard where: no text, family or voice crosses into training."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from evoxtral import tags
from evoxtral.clips.splits import TEST_SPLITS, CorpusSizes, plan
from evoxtral.tags import text_key
from evoxtral.world.scripts import SLICES
from evoxtral.world.speech import HELD_OUT_VOICES, TRAINING_VOICES, VOICES

SIZES = CorpusSizes(train_extra=50, base_train=50)


@pytest.fixture(scope="module")
def plans():
    return {part.split: part for part in plan(SIZES, seed=7)}


def test_default_sizes_are_the_reports_and_the_issues():
    sizes = CorpusSizes()
    assert (sizes.train, sizes.validation, sizes.test) == (808, 101, 101)
    assert sizes.natural >= 1000
    assert sizes.raft_prompts >= 808
    assert (sizes.train_extra, sizes.base_train) == (0, 0)


def test_every_split_has_its_size(plans):
    assert {split: len(part.wanted) for split, part in plans.items()} == {
        name: getattr(SIZES, name) for name in SIZES.__dataclass_fields__
    }
    assert all(len(part.spares) > 0.1 * len(part.wanted) for part in plans.values())


def test_no_text_is_shared_between_or_within_splits(plans):
    keys = [
        text_key(clip.script.plain_text)
        for part in plans.values()
        for clip in (*part.wanted, *part.spares)
    ]
    assert len(set(keys)) == len(keys)


def test_held_out_families_and_voices_are_heard_in_tests_only(plans):
    unseen = {voice.id for voice in HELD_OUT_VOICES}
    for split, part in plans.items():
        share = sum(clip.script.held_out for clip in part.wanted) / len(part.wanted)
        voices = {clip.voice.id for clip in part.wanted}
        if split in TEST_SPLITS:
            assert share >= 0.2
            assert unseen < voices
        else:
            assert share == 0
            assert not unseen & voices
            assert not any(clip.script.held_out for clip in part.spares)


def test_held_out_families_are_spread_evenly(plans):
    places = [i for i, clip in enumerate(plans["natural"].wanted) if clip.script.held_out]
    assert max(b - a for a, b in pairwise(places)) <= 5


@pytest.mark.parametrize(("split", "voices"), [("natural", VOICES), ("train", TRAINING_VOICES)])
def test_voices_cycle_without_replacement(split, voices, plans):
    heard = [clip.voice.id for clip in plans[split].wanted]
    rounds = [heard[i : i + len(voices)] for i in range(0, len(heard), len(voices))]
    assert all(sorted(r) == sorted(v.id for v in voices) for r in rounds[:-1])
    assert len({tuple(r) for r in rounds}) > 2  # not the same order every time


def test_every_tag_has_support_in_the_balanced_set(plans):
    support = Counter(
        tag for clip in plans["balanced"].wanted for tag in tags.find_tags(clip.script.tagged_text)
    )
    assert min(support[tag] for tag in tags.TAGS) >= 50
    assert max(support.values()) < 4 * min(support.values())


def test_train_and_natural_have_the_slices_of_the_generator(plans):
    for split in ("train", "natural", "raft_prompts"):
        clips = plans[split].wanted
        counts = Counter(clip.script.slice for clip in clips)
        for name, share in SLICES.items():
            assert counts[name] / len(clips) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("split", ["plain_val", "base_test", "base_train"])
def test_plain_splits_have_no_tags(split, plans):
    assert not any("[" in clip.script.tagged_text for clip in plans[split].wanted)


def test_seeds_and_ids_are_unique(plans):
    clips = [clip for part in plans.values() for clip in (*part.wanted, *part.spares)]
    assert len({clip.script.id for clip in clips}) == len(clips)
    assert len({clip.seed for clip in clips}) > 0.999 * len(clips)
    assert all(0 <= clip.seed < 2**31 for clip in clips)


SMALL = CorpusSizes(12, 4, 4, 12, 8, 8, 4, 4)


def test_plan_is_a_function_of_its_arguments():
    assert plan(SMALL, 1) == plan(SMALL, 1)
    assert plan(SMALL, 1) != plan(SMALL, 2)


def test_splits_of_size_zero_are_left_out():
    parts = plan(CorpusSizes(4, 0, 0, 0, 0, 0, 0, 0), 1)
    assert [part.split for part in parts] == ["train"]


def test_texts_of_the_base_model_are_kept_out_of_tests():
    before = {part.split: part for part in plan(SMALL, 1)}
    taken = [clip.script.plain_text for split in TEST_SPLITS for clip in before[split].wanted]
    after = {part.split: part for part in plan(SMALL, 1, exclude=taken)}
    keys = {text_key(text) for text in taken}
    for split in TEST_SPLITS:
        clips = (*after[split].wanted, *after[split].spares)
        assert not keys & {text_key(clip.script.plain_text) for clip in clips}


def test_negative_size_is_refused():
    with pytest.raises(ValueError, match="train must be 0 or more"):
        CorpusSizes(train=-1)
