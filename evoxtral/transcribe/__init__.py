"""Use a model: recordings of any length in; text with times, as JSON, plain text or subtitles."""

from evoxtral.transcribe.chunks import Span, plan_chunks
from evoxtral.transcribe.documents import FORMATS, Chunk, Transcript, render
from evoxtral.transcribe.files import Failure, transcribe_files
