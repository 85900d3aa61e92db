"""Where scripts come together: rounds of briefs, merged in order, filtered, and written out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs, tags
from evoxtral.providers.asking import Asker, NotAllowedError
from evoxtral.providers.briefs import Brief, Tally, next_brief, slice_of
from evoxtral.providers.conversation import Reject, Scored, converse, judge
from evoxtral.providers.replies import near_existing
from evoxtral.providers.script_plan import ScriptPlan
from evoxtral.world.scripts import Script

_STALLED = 3


@dataclass
class Room:
    """State of a run: a function of the plan and of the replies so far."""

    folder: Path
    plan: ScriptPlan
    seeds: list[Script]
    exclude: list[str]
    asker: Asker
    pool: ThreadPoolExecutor
    accepted: list[Script] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    _briefs: int = 0
    _stalled: int = 0

    def round(self) -> int:
        """Plan, ask, merge, judge; scripts gained."""
        briefs = self.next_round()
        existing = self._existing()
        asked = [self.pool.submit(converse, b, existing, self.plan, self.asker) for b in briefs]
        conversations = self._all(asked)
        self.asker.settle()
        drafts: list[Scored] = []
        for written, rejected in conversations:
            drafts += written
            self.rejects += rejected
        drafts = self._distinct(drafts)
        if self.plan.votes:
            drafts = self._judged(drafts)
        self._briefs += len(briefs)
        self._take(drafts)
        self._check_progress(len(drafts))
        return len(drafts)

    def next_round(self) -> list[Brief]:
        """The briefs that are due; a function of what is accepted."""
        tally, briefs = Tally.of(self.accepted), []
        missing = self.plan.scripts - len(self.accepted)
        while missing > 0 and len(briefs) < self.plan.briefs_per_round:
            brief = next_brief(
                tally,
                self._briefs + len(briefs),
                [*self.seeds, *self.accepted],
                self.accepted,
                target=self.plan.scripts,
                rows=min(self.plan.rows_per_request, missing),
                paraphrase_share=self.plan.paraphrase_share,
                seed=self.plan.seed,
            )
            tally.expect(brief)
            missing -= brief.rows
            briefs.append(brief)
        return briefs

    def _existing(self) -> list[str]:
        return [*self.exclude, *(s.tagged_text for s in (*self.seeds, *self.accepted))]

    @staticmethod
    def _all(futures: Sequence[Any]) -> list[Any]:
        """Results in order; all are waited for before one is allowed to fail."""
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            # A refusal spends what is left of the allowance: it is the reason, not its effect.
            raise min(errors, key=lambda error: isinstance(error, NotAllowedError))
        return [future.result() for future in futures]

    def _distinct(self, drafts: Sequence[Scored]) -> list[Scored]:
        """Without those that say what another brief of the round said before."""
        near = near_existing([draft.text for draft in drafts], [], self.plan.threshold)
        self.rejects += [
            Reject(draft.brief.number, draft.text, "near a script of the same round")
            for draft, marked in zip(drafts, near, strict=True)
            if marked
        ]
        return [draft for draft, marked in zip(drafts, near, strict=True) if not marked]

    def _judged(self, drafts: Sequence[Scored]) -> list[Scored]:
        asked = [self.pool.submit(judge, draft, self.plan, self.asker) for draft in drafts]
        results = self._all(asked)
        self.asker.settle()
        self.rejects += [result for result in results if isinstance(result, Reject)]
        return [result for result in results if isinstance(result, Scored)]

    def _take(self, drafts: Sequence[Scored]) -> None:
        for draft in drafts:
            script = _script(f"w-{self.plan.seed}-{len(self.accepted):06d}", draft)
            self.accepted.append(script)
            self.rows.append(
                {
                    "id": script.id,
                    "tagged_text": script.tagged_text,
                    "plain_text": script.plain_text,
                    "slice_type": script.slice,
                    "domain": script.domain,
                    "template": script.template,
                    "score": draft.score,
                }
            )
        runs.write_json(self.folder / "scripts.json", self.rows)
        runs.write_jsonl(self.folder / "rejects.jsonl", (reject.row() for reject in self.rejects))

    def _check_progress(self, gained: int) -> None:
        self._stalled = 0 if gained else self._stalled + 1
        if self._stalled == _STALLED:
            last = self.rejects[-1].reason if self.rejects else "no rows"
            raise UserError(
                f"{_STALLED} rounds brought no script, last reason: {last}; choose another model "
                f"or looser limits in another folder (all reasons: {self.folder}/rejects.jsonl)"
            )


def _script(name: str, draft: Scored) -> Script:
    brief = draft.brief
    return Script(
        id=name,
        tagged_text=draft.text,
        slice=slice_of(len(tags.find_tags(draft.text))),
        domain=brief.domain,
        template="written" if brief.source is None else "paraphrased",
        held_out=False,
    )
