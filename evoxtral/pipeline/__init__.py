"""The experiment around the models: clips, base, cached features, transcripts of a system."""

from evoxtral.pipeline.setup import HEADLINE, TOKEN_MARGIN, Setup, open_setup
from evoxtral.pipeline.transcripts import listener, transcripts
