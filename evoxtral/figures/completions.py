"""The completions of one clip, to read, with their rewards term by term."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd
from IPython.display import HTML

from evoxtral import UserError
from evoxtral.figures.transcripts import MARKS, mark, plain_chips
from evoxtral.metrics import RewardWeights

_STYLE = f"""<style>{MARKS}
.evx-raft{{max-width:1000px;line-height:1.6}}
.evx-raft .cards{{display:flex;flex-wrap:wrap;gap:.7em;margin-top:.6em}}
.evx-raft .card{{flex:1 1 300px;min-width:0;border:1px solid rgba(128,128,128,.4);
border-radius:.5em;padding:.5em .8em .6em;overflow-wrap:anywhere}}
.evx-raft .chosen{{border:2px solid #d55e00}}
.evx-raft .top{{display:flex;justify-content:space-between;gap:1em;font-weight:600}}
.evx-raft .bar{{height:6px;border-radius:3px;background:rgba(128,128,128,.2);margin:.2em 0 .5em}}
.evx-raft .bar i{{display:block;height:100%;border-radius:3px;background:#0072b2}}
.evx-raft .chosen .bar i{{background:#d55e00}}
.evx-raft .sum{{font-size:.88em;font-variant-numeric:tabular-nums;opacity:.85;margin-top:.4em}}
</style>"""


def completions(
    reference: str, rows: pd.DataFrame, chosen: int, weights: RewardWeights | None = None
) -> HTML:
    """The k completions of one clip with their rewards term by term, the chosen one outlined.

    Args:
        reference: tagged text of what was said.
        rows: of `raft.score`, one clip's: `index`, `text`, `reward`, `wer`, `tag_f1`,
            `hallucination`.
        chosen: `index` of the completion that is kept.
        weights: of the reward; by default the report's.

    Raises:
        UserError: there is no completion, or none has the chosen index.
    """
    if rows.empty or chosen not in set(rows["index"]):
        raise UserError(f"no completion has the index {chosen}: give one of the clip's own")
    used = RewardWeights() if weights is None else weights
    ordered = rows.sort_values("index").to_dict("records")
    first: dict[str, int] = {}
    for row in ordered:
        first.setdefault(row["text"], row["index"])
    cards = "".join(
        _card(reference, row, used, best=row["index"] == chosen, twin=first[row["text"]])
        for row in ordered
    )
    said = f"<div><b>Reference</b> {plain_chips(reference)}</div>"
    return HTML(
        f'{_STYLE}<div class="evx-read evx-raft">{said}<div class="cards">{cards}</div></div>'
    )


def _card(
    reference: str, row: Mapping[str, object], weights: RewardWeights, *, best: bool, twin: int
) -> str:
    marked = mark(reference, str(row["text"]))
    index, reward = int(row["index"]), float(row["reward"])
    accuracy = max(0.0, 1.0 - float(row["wer"]))
    terms = (
        (weights.accuracy, accuracy, "accuracy"),
        (weights.tags, float(row["tag_f1"]), "Tag F1"),
        (weights.hallucination, 1.0 - float(row["hallucination"]), "no hallucination"),
    )
    total = " + ".join(
        f"{weight:g}\u202f×\u202f{value:.2f} {name}" for weight, value, name in terms
    )
    missed = "".join(f' <span class="tag missed">{html.escape(t)}</span>' for t in marked.missed)
    same = f" <small>same text as {twin + 1}</small>" if twin != index else ""
    name = f"Completion {index + 1}{' · kept' if best else ''}"
    return (
        f'<div class="card{" chosen" if best else ""}">'
        f'<div class="top"><span>{name}{same}</span><span>{reward:.3f}</span></div>'
        f'<div class="bar"><i style="width:{100 * min(1.0, max(0.0, reward)):.1f}%"></i></div>'
        f"<div>{marked.html}"
        f"{f' <small>missed:</small>{missed}' if missed else ''}</div>"
        f'<div class="sum">{total}</div></div>'
    )
