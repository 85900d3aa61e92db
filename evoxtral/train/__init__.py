"""Fine-tuning: adapters on a frozen model, from cached features."""

from evoxtral.train.checkpoints import newest_whole
from evoxtral.train.examples import Examples, collate, masked
from evoxtral.train.finetune import ADAPTER, LOG, Tuned, finetune, read_log
from evoxtral.train.listen import Watched
from evoxtral.train.recipe import Recipe
