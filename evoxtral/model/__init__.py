"""The model: a frozen Voxtral, adapters on it, and its encoder's features kept on disk."""

from evoxtral.model.features import (
    CachedEncoder,
    Features,
    Listened,
    LogMels,
    cache_features,
    encode,
    read_cached,
)
from evoxtral.model.folding import fold, settle
from evoxtral.model.loading import TINY, Voxtral, open_base, weights_digest
from evoxtral.model.lora import (
    LoraShape,
    adapter_digest,
    attach,
    check_adapter,
    count_parameters,
    load,
    merge,
    shape_of,
)
from evoxtral.model.narrowing import last_logits, narrow
from evoxtral.model.probe import pooled, probe
from evoxtral.model.prompts import Prompter
