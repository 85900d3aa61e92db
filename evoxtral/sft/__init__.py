"""What `02_sft.ipynb` calls: supervised fine-tuning as a stage, and what is shown of it."""

from evoxtral.sft.run import (
    TUNING_CODE,
    VALIDATION,
    adapter,
    lora_shape,
    parameters_of,
    precision,
    training_examples,
    validation_examples,
    watched,
)
from evoxtral.sft.shown import (
    before_after,
    ceiling,
    evaluate,
    example,
    learnt,
    parameters,
    settings,
    sound,
    validated,
)
from evoxtral.sft.tracking import log_outcome, tracker
