"""Scripts written by a language model: steered, filtered, confirmed, paid for once, resumable.

    <folder>/plan.json       what was ordered
    <folder>/replies.jsonl   every reply as it came; append-only, the record all else follows from
    <folder>/scripts.json    accepted scripts, in the format of the released ones
    <folder>/rejects.jsonl   rows that were not accepted, and why

Work goes in rounds. The briefs of a round are planned from what is accepted, asked at once, and
merged in order, so that the result is a function of the replies: a killed run is run again,
replays what was answered, and comes to the same scripts. A kill loses at most the requests that
were under way, as many as `concurrency`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from evoxtral import UserError, runs
from evoxtral.progress import progress
from evoxtral.providers.access import read_key
from evoxtral.providers.asking import Asker, NotAllowedError
from evoxtral.providers.briefs import SEEDS
from evoxtral.providers.chat import BASE_URL, Chat
from evoxtral.providers.claims import claim
from evoxtral.providers.retry import Patience
from evoxtral.providers.rounds import Room
from evoxtral.providers.script_plan import ScriptEstimate, ScriptPlan, estimate_scripts
from evoxtral.world.scripts import Script


@dataclass(frozen=True)
class ChatService:
    """Where and how the provider is asked; changes no script.

    Attributes:
        concurrency: Requests at a time.
        key_variable: Environment variable that holds the key.
        base_url: Of OpenAI or of any server with its protocol.
        patience: Timeouts and repetitions.
    """

    concurrency: int = 4
    key_variable: str = "OPENAI_API_KEY"
    base_url: str = BASE_URL
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UserError(f"concurrency must be at least 1, not {self.concurrency}")

    def connect(self, plan: ScriptPlan) -> Chat:
        """A client, with the key from the environment."""
        return Chat(read_key(self.key_variable), plan.chat, self.patience, self.base_url)


def write_scripts(
    folder: Path | str,
    plan: ScriptPlan,
    seeds: Sequence[Script],
    *,
    exclude: Collection[str] = (),
    allow_requests: int = 0,
    service: ChatService | None = None,
) -> list[Script]:
    """Have scripts written until there are as many as planned.

    Args:
        folder: Where to; empty, absent, or left by an earlier run of the same plan.
        plan: What to write.
        seeds: Scripts to start from, eight or more, e.g. released ones; none comes again.
        exclude: Other tagged texts that must not come again, e.g. those of the test sets.
        allow_requests: Confirmation: most requests that may be paid for in this run. With 0 only
            what was answered before is used.
        service: The defaults if None.

    Returns:
        `plan.scripts` scripts, the same for the same replies.

    Raises:
        UserError: More requests are needed than allowed, the provider does not serve, nothing new
            comes any more, or the folder holds something else. What was answered is kept.
    """
    if len(seeds) < SEEDS:
        raise UserError(f"give at least {SEEDS} seed scripts, not {len(seeds)}")
    folder, service = Path(folder).absolute(), service or ChatService()
    with runs.exclusive(folder), ExitStack() as stack:
        key = [plan.model_dump(), [s.tagged_text for s in seeds], sorted(exclude)]
        claim(folder, "plan.json", key, {"plan": plan.model_dump()})
        asker = Asker(folder / "replies.jsonl", lambda: service.connect(plan), allow_requests)
        stack.callback(asker.close)
        pool = ThreadPoolExecutor(service.concurrency)
        # Requests under way are paid for: on any way out they are waited for and kept.
        stack.callback(pool.shutdown, cancel_futures=True)
        bar = stack.enter_context(progress(plan.scripts, "scripts", unit="script"))
        room = Room(folder, plan, list(seeds), sorted(exclude), asker, pool)
        try:
            while len(room.accepted) < plan.scripts:
                bar.update(room.round())
        except NotAllowedError:
            estimate = estimate_scripts(plan, room.next_round(), len(room.accepted), asker.replies)
            raise _stopped(estimate, allow_requests) from None
        return room.accepted


def _stopped(estimate: ScriptEstimate, allowed: int) -> UserError:
    return UserError(
        f"{estimate}: set allow_requests to {estimate.least_requests} or more to go on "
        f"(it was {allowed})"
    )
