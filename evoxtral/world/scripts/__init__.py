"""Tagged scripts: what the speakers of the synthetic world say, and the released scripts.

`generate` writes scripts offline from a seeded grammar over a closed vocabulary, `plain_sentences`
and `word_lists` write neutral text for the base model, and `read_released` reads the 1,010
released ones. All words and phrases stand in `grammar.yaml`.
"""

from evoxtral.world.scripts.generator import (
    DOMAINS,
    SLICES,
    Script,
    generate,
    plain_sentences,
    word_lists,
)
from evoxtral.world.scripts.grammar import EMPHASIS_WORDS, LEXICON
from evoxtral.world.scripts.released import fetch_released, read_released, split_released
