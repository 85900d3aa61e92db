"""Run the notebooks of the report in order, with one profile's parameters."""

from __future__ import annotations

from pathlib import Path

import papermill

from evoxtral import artifacts, params, paths
from evoxtral.errors import UserError

__all__ = ["REPORT_NOTEBOOKS", "run_notebook", "run_report"]

REPORT_NOTEBOOKS = ("01_data_mix", "04_benchmark")
"""The notebooks of the report, in the order of its sections."""


def run_notebook(notebook: str, profile: str, output: Path) -> Path:
    """Execute one notebook with `params/<profile>/<notebook>.yaml`.

    The executed copy is written beside `output` and renamed over it, since papermill itself
    leaves half a notebook on a full disk.

    Raises:
        UserError: a parameter file is wrong, or the notebook failed; names the executed copy.
    """
    cfg = params.profile(notebook, profile)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.ipynb")
    try:
        papermill.execute_notebook(
            paths.notebooks_dir() / f"{notebook}.ipynb",
            partial,
            parameters=cfg.model_dump(),
            kernel_name="python3",
            cwd=paths.notebooks_dir(),
        )
    except papermill.PapermillExecutionError as error:
        failed = output.with_name(f"{output.stem}.failed.ipynb")
        partial.replace(failed)
        reason = f"{error.ename}: {error.evalue}"
        raise UserError(f"{notebook} stopped with {reason}; see {failed}") from error
    artifacts.write_bytes(output, partial.read_bytes())
    partial.unlink()
    return output


def run_report(profile: str) -> Path:
    """Execute every notebook of the report into `reports/<profile>/` and return that folder.

    All parameter files are read first, so that a wrong one stops before any work.
    """
    for notebook in REPORT_NOTEBOOKS:
        params.profile(notebook, profile)
    folder = paths.reports_dir() / profile
    for notebook in REPORT_NOTEBOOKS:
        run_notebook(notebook, profile, folder / f"{notebook}.ipynb")
    return folder
