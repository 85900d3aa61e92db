"""The standard English text normaliser of the ASR leaderboards (Whisper, Radford et al. 2022)."""

from __future__ import annotations

import re
from collections.abc import Callable

from evoxtral import UserError


def english_normaliser() -> Callable[[str], str]:
    """Whisper's English normaliser: case, punctuation, contractions, numbers, fillers.

    It deletes `[...]`, `(...)` and words such as "um", so give it text without tags. The table of
    British spellings is left empty, since it is part of Whisper's checkpoint and not of the
    library: "colour" and "color" remain different words.

    Returns:
        A function of text, for `evaluate(..., normalise=...)`.

    Raises:
        UserError: If transformers is not installed.
    """
    try:
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    except ImportError as error:
        raise UserError(
            "the English normaliser needs transformers; install it with pip install -e '.[train]'"
        ) from error
    normaliser = EnglishTextNormalizer({})
    # Compiled here, since scipy imports numpy.f2py, which shrinks the cache of `re` to fewer
    # patterns than one call of the normaliser uses: 7 times slower.
    normaliser.replacers = {re.compile(p): text for p, text in normaliser.replacers.items()}
    return normaliser
