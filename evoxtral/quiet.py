"""Silence from libraries whose bars and reports would stand between ours."""

from __future__ import annotations

from transformers.utils import logging


class Quiet:
    """Without transformers' own bars and reports: ours say what takes long and what is wrong."""

    def __enter__(self) -> None:
        self.shown, self.level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()

    def __exit__(self, *_: object) -> None:
        logging.set_verbosity(self.level)
        if self.shown:
            logging.enable_progress_bar()
