"""What validation hears during fine-tuning: greedy transcripts, scored as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from evoxtral import metrics, tags
from evoxtral.decode import transcribe
from evoxtral.model import Listened, Prompter


@dataclass(frozen=True, eq=False)
class Watched:
    """A split that is transcribed after every epoch.

    Attributes:
        name: of the split.
        features: of its clips.
        seconds: their durations.
        texts: tagged references.
    """

    name: str
    features: Listened
    seconds: Sequence[float]
    texts: Sequence[str]

    def heard(
        self, model: nn.Module, prompter: Prompter, max_new_tokens: int, batch: int
    ) -> list[str]:
        """Greedy transcripts of the split."""
        made = transcribe(model, prompter, self.features, self.seconds, max_new_tokens, batch)
        return [prompter.text(one.ids) for one in made]

    def scores(self, heard: Sequence[str]) -> dict[str, float]:
        """Word error rate (as written), Tag F1 (`paper`), strict Tag F1 and the mean reward."""
        made = metrics.evaluate(self.texts, heard)
        rewards = [metrics.reward(r, h).total for r, h in zip(self.texts, heard, strict=True)]
        tagged = any(tags.find_tags(text) for text in self.texts)
        return {
            "wer": made.strict()["wer"].value,
            "tag_f1": made.paper()["tag_f1"].value,
            "strict_tag_f1": made.tagged().strict()["tag_f1"].value if tagged else float("nan"),
            "reward": sum(rewards) / len(rewards),
        }
