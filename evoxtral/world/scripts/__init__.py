"""Tagged scripts: what the speakers of the synthetic world say, and the released scripts.

`generate` writes scripts offline from a seeded grammar over a closed vocabulary, `plain_sentences`
and `word_lists` write neutral text for the base model, and `read_released` reads the 1,010
released ones.
"""

from evoxtral.world.scripts.generator import generate
from evoxtral.world.scripts.lexicon import EMPHASIS_WORDS, LEXICON
from evoxtral.world.scripts.plain import plain_sentences, word_lists
from evoxtral.world.scripts.released import (
    bench_rows,
    fetch_released,
    read_released,
    split_released,
)
from evoxtral.world.scripts.script import DOMAINS, SLICES, Script, estimated_seconds
