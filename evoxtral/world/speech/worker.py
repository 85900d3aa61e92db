"""A helper process that renders clips: `python -m evoxtral.world.speech.worker <socket>`.

Reads pickled `(job, settings)`, answers pickled `(rendered, error)`, one of them None; ends when
the other side closes. Only `parallel` talks to it, over a socket nobody else has.
"""

from __future__ import annotations

import pickle
import sys
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from evoxtral import UserError
from evoxtral.world.speech.render import Rendered, render
from evoxtral.world.speech.voices import find_voice

if TYPE_CHECKING:
    from evoxtral.world.speech.parallel import RenderJob
    from evoxtral.world.speech.settings import RenderSettings


def _answer(job: RenderJob, settings: RenderSettings) -> tuple[Rendered | None, Exception | None]:
    try:
        return render(job.tagged_text, find_voice(job.voice_id), job.seed, settings), None
    except UserError as error:
        return None, UserError(f"clip {job.key!r}: {error}")
    except Exception:  # whatever it was, the parent raises it
        return None, RuntimeError(f"clip {job.key!r} failed:\n{traceback.format_exc()}")


def main() -> None:
    """Serve until the other side closes."""
    with Connection(int(sys.argv[1])) as socket:
        while True:
            try:
                request = socket.recv_bytes()
            except EOFError:
                return
            socket.send_bytes(pickle.dumps(_answer(*pickle.loads(request))))


if __name__ == "__main__":
    main()
