"""Questions that are paid for once: replies are kept, replayed, and counted.

A run is a function of the replies it got. All are in a journal, so that a killed run is simply
run again: what was answered is replayed, what was not is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evoxtral import UserError, runs
from evoxtral.providers.chat import Chat, Message, Reply
from evoxtral.providers.journal import Journal
from evoxtral.providers.retry import ProviderError


class NotAllowedError(Exception):
    """A question that would need one request more than is allowed."""


@dataclass(frozen=True)
class Question:
    """A conversation, the schema of the wanted reply, and what tells it from its like.

    Attributes:
        purpose: Name of the schema, e.g. `scripts`.
        number: Tells apart questions with equal messages: of the brief, of the vote.
        messages: The conversation so far.
        schema: JSON schema of the reply.
    """

    purpose: str
    number: tuple[int, ...]
    messages: Sequence[Message]
    schema: Mapping[str, Any]

    @property
    def key(self) -> str:
        """SHA-256 of the question."""
        return runs.digest(
            [self.purpose, self.number, [dict(m) for m in self.messages], dict(self.schema)]
        )


class Asker:
    """Answers questions from the journal, else from the provider, up to an allowance."""

    def __init__(self, path: Path, connect: Callable[[], Chat], allowance: int) -> None:
        """Open the journal.

        Args:
            path: Of the journal.
            connect: Makes the client; called when the first question has to be paid for.
            allowance: Most questions that may be paid for in this run.

        Raises:
            UserError: The journal cannot be read.
        """
        self._journal = Journal(path)
        self._connect = connect
        self._chat: Chat | None = None
        self._left = allowance
        self._lock = threading.Lock()
        self._failed: dict[str, ProviderError] = {}
        self._answered = 0
        self._known: dict[str, Reply | str] = {}
        for row in self._journal:
            self._known[row["key"]] = (
                row["failure"] if "failure" in row else Reply.model_validate(row["reply"])
            )

    @property
    def replies(self) -> list[Reply]:
        """Everything that was answered, in this run and before."""
        return [reply for reply in self._known.values() if isinstance(reply, Reply)]

    def ask(self, question: Question) -> Reply:
        """The reply to a question, paid for at most once.

        Raises:
            ProviderError: The provider did not answer, now or in the run that is replayed.
            NotAllowedError: It is not known and the allowance is spent.
            UserError: The provider refuses to serve at all.
        """
        known = self._known.get(question.key)
        if isinstance(known, str):
            raise ProviderError(known)
        if known is not None:
            with self._lock:
                self._answered += 1
            return known
        chat = self._take()
        try:
            reply = chat.ask(question.messages, question.purpose, question.schema)
        except ProviderError as error:
            if error.fatal:
                with self._lock:
                    self._left = 0
                raise UserError(
                    f"the provider refuses to serve: {error}; check key and credit, then run "
                    "again: what was answered is kept"
                ) from None
            with self._lock:
                self._failed[question.key] = error
            raise
        self._journal.append({"key": question.key, "reply": reply.model_dump()})
        with self._lock:
            self._known[question.key] = reply
            self._answered += 1
        return reply

    def _take(self) -> Chat:
        with self._lock:
            if self._left < 1:
                raise NotAllowedError
            self._left -= 1
            self._chat = self._chat or self._connect()
            return self._chat

    def close(self) -> None:
        """Close the connections, if any was made."""
        if self._chat is not None:
            self._chat.close()

    def settle(self) -> None:
        """Close a batch of questions: failures among them become part of the record.

        What comes later is built on what was answered, so a replay must fail where the first run
        failed. Only a provider that answered nothing leaves no trace: it is asked again.

        Raises:
            UserError: Nothing was answered.
        """
        failed, answered = self._failed, self._answered
        self._failed, self._answered = {}, 0
        if failed and not answered:
            first = next(iter(failed.values()))
            raise UserError(
                f"none of {len(failed)} requests was answered, first: {first}; run again later, "
                "what was answered before is kept"
            )
        for key, error in failed.items():
            self._known[key] = str(error)
            self._journal.append(
                {"key": key, "failure": str(error), "perhaps_billed": error.perhaps_billed}
            )
