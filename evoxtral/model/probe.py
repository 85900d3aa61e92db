"""What the frozen encoder holds of each tag: the ceiling of what fine-tuning can learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from evoxtral import tags
from evoxtral.clips import Clip
from evoxtral.model.features import Features

_FEWEST = 5  # clips with and without a tag, below which no line is drawn


def pooled(
    features: Features, clips: Sequence[Clip], window_seconds: float
) -> npt.NDArray[np.float32]:
    """Mean, deviation and maximum of each clip's features over the frames that hold sound.

    Returns:
        Shape (clips, 3 * width).
    """
    rows = []
    for i, clip in enumerate(clips):
        heard = features[i].float()
        per_second = heard.shape[1] / window_seconds
        frames = heard.flatten(0, 1)[: max(2, round((clip.seconds or np.inf) * per_second))]
        rows.append(torch.cat([frames.mean(0), frames.std(0), frames.amax(0)]).numpy())
    return np.stack(rows)


def probe(
    train: npt.NDArray[np.float32],
    train_clips: Sequence[Clip],
    test: npt.NDArray[np.float32],
    test_clips: Sequence[Clip],
) -> pd.DataFrame:
    """Tell clips with a tag from clips without by a line through pooled features.

    Args:
        train: of `pooled`, for the clips to learn from.
        train_clips: those clips.
        test: the same for clips of another split.
        test_clips: those clips.

    Returns:
        One row per tag: `tag | auc | clips`, the area under the ROC curve (chance 0.5; NaN where
        either split has too few clips) and the test clips with the tag.
    """
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)
    rows = []
    # The fit makes many small products, and a second thread beside torch's slows them tenfold.
    with threadpool_limits(1, user_api="blas"):
        for tag in tags.TAGS:
            learnt, asked = _has(train_clips, tag), _has(test_clips, tag)
            auc = float("nan")
            if min(learnt.sum(), (~learnt).sum(), asked.sum(), (~asked).sum()) >= _FEWEST:
                line = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
                line.fit(train, learnt)
                auc = float(roc_auc_score(asked, line.decision_function(test)))
            rows.append({"tag": tag, "auc": auc, "clips": int(asked.sum())})
    return pd.DataFrame(rows)


def _has(clips: Sequence[Clip], tag: str) -> npt.NDArray[np.bool_]:
    return np.array([tag in tags.find_tags(clip.tagged_text) for clip in clips])
