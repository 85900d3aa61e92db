"""Audibility as a stage, its error, and the numbers a notebook leaves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from evoxtral import datamix, params
from evoxtral.datamix import probes
from evoxtral.datamix.source import Source
from evoxtral.tags import TAGS

CFG = params.profile("01_data_mix", "smoke")


def source(name: str) -> Source:
    return Source(name, {}, None, None, None, pd.DataFrame())


def test_every_tag_has_a_band_and_three_are_hard() -> None:
    assert set(probes.EXPECTED) == set(TAGS)
    hard = {tag for tag, (_, high) in probes.EXPECTED.items() if high < 1}
    assert hard == {"calm", "confused", "scared"}


@pytest.mark.usefixtures("own_runs")
def test_the_probes_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def measured(tags: tuple[str, ...], texts: list[str], **settings: object) -> pd.DataFrame:
        asked.append((texts, settings))
        return pd.DataFrame({"tag": tags, "auc": 0.88, "n": 8})

    monkeypatch.setattr(probes, "audibility", measured)
    frame = datamix.audible(CFG, source("generated"))
    assert frame.equals(datamix.audible(CFG, source("generated")))
    [(texts, settings)] = asked
    assert len(texts) == CFG.train_pairs + CFG.test_pairs
    assert all(3 <= len(text.split()) <= 14 for text in texts)
    assert settings["workers"] is None
    passed = frame.set_index("tag")["pass"]
    assert passed[["laughs", "sad", "calm"]].tolist() == ["no", "yes", "no"]


def test_other_sources_have_no_pairs() -> None:
    assert datamix.audible(CFG, source("released")).empty


def test_the_error_agrees_with_simulation() -> None:
    rng = np.random.default_rng(0)
    tagged, plain = rng.exponential(3, (4000, 40)), rng.exponential(1, (4000, 40))
    areas = (tagged[:, :, None] > plain[:, None, :]).mean(axis=(1, 2))
    assert probes.standard_error(0.75, 80) == pytest.approx(areas.std(), rel=0.05)
    assert probes.standard_error(1.0, 80) == 0


def test_verdicts_are_counted_by_table() -> None:
    frame = pd.DataFrame({"table": ["t", "t", "u"], "pass": ["yes", "no", "not known"]})
    assert datamix.verdicts(frame) == {"t": {"no": 1, "yes": 1}, "u": {"not known": 1}}
