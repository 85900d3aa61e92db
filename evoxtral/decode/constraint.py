"""Brackets that hold known tags and nothing else, kept so while decoding.

A finite automaton reads the text token by token: it is outside brackets, or inside one with a
prefix of a tag's name. One table says for every state and token how many more tokens would be
needed to be outside again, or that the token breaks a bracket; a decoder compares a row of it with
the tokens that are left, so that no bracket is still open when the limit is reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
import torch

from evoxtral import tags
from evoxtral.model import Prompter

_OUTSIDE = 0
_BROKEN = -1


class BracketGuard:
    """Which tokens keep every bracket a known tag, written in full and in lower case.

    Attributes:
        costs: shape (states, vocabulary), uint8: tokens needed to be outside brackets after this
            one; `NEVER` for a token that may not come. State 0 is outside.

    >>> guard = BracketGuard(["", "a", "[", "pause", "]", "] [", "[pau", "se]"], eos=0)
    >>> state = 0
    >>> for token in (1, 6, 7, 2, 3):
    ...     state = guard.after(state, token)
    >>> [int(token) for token in (guard.costs[state] < guard.NEVER).nonzero()]
    [4, 5]
    """

    NEVER = 255

    def __init__(
        self, pieces: Sequence[str], eos: int, vocabulary: Iterable[str] = tags.TAGS
    ) -> None:
        """Precompute the table.

        Args:
            pieces: text of each token, empty for those that a transcript does not show.
            eos: id that ends a completion.
            vocabulary: names of the tags.
        """
        names = set(vocabulary)
        self._prefixes = sorted({name[:end] for name in names for end in range(len(name) + 1)})
        self._inside = {prefix: state for state, prefix in enumerate(self._prefixes, start=1)}
        self._closed = {self._inside[name] for name in names}
        self._next = self._transitions(pieces)
        self._next[1:, eos] = _BROKEN
        self.costs = torch.from_numpy(self._costs())

    @classmethod
    def of(cls, prompter: Prompter) -> Self:
        """The guard of a model's tokenizer."""
        tokenizer = prompter.processor.tokenizer
        pieces = prompter.pieces(list(range(len(tokenizer))))
        for token in tokenizer.all_special_ids:
            pieces[token] = ""
        return cls(pieces, prompter.eos)

    def after(self, state: int, token: int) -> int:
        """The state that a token leads to, from a state in which it may come."""
        return int(self._next[state, token])

    def _transitions(self, pieces: Sequence[str]) -> np.ndarray:
        tokens = defaultdict(list)
        for token, piece in enumerate(pieces):
            tokens[piece].append(token)
        table = np.full((len(self._inside) + 1, len(pieces)), _BROKEN, np.int16)
        table[_OUTSIDE] = _OUTSIDE
        bracketed = [piece for piece in tokens if "[" in piece or "]" in piece]
        for state in range(len(table)):
            for piece in bracketed:
                table[state, tokens[piece]] = self._walk(state, piece)
        for prefix, state in self._inside.items():
            for longer, reached in self._inside.items():
                if longer.startswith(prefix):
                    table[state, tokens.get(longer[len(prefix) :], [])] = reached
        return table

    def _walk(self, state: int, piece: str) -> int:
        """Where a piece of text leads; most pieces have no bracket and are not walked."""
        for char in piece:
            if state == _OUTSIDE:
                state = {"[": self._inside[""], "]": _BROKEN}.get(char, _OUTSIDE)
            elif char == "]":
                state = _OUTSIDE if state in self._closed else _BROKEN
            else:
                state = self._inside.get(self._prefixes[state - 1] + char, _BROKEN)
            if state == _BROKEN:
                break
        return state

    def _costs(self) -> np.ndarray:
        """Shortest ways out, by relaxing until nothing improves."""
        reached = [np.unique(row[row != _BROKEN]) for row in self._next]
        ways = np.full(len(self._next), self.NEVER)
        ways[_OUTSIDE] = 0
        for _ in ways:
            better = [
                min(self.NEVER, 1 + ways[states].min(initial=self.NEVER)) for states in reached
            ]
            ways[1:] = better[1:]
        return np.where(self._next == _BROKEN, self.NEVER, ways[self._next]).astype(np.uint8)
