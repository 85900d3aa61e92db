"""Run the notebooks of the report in order, with one profile's parameters."""

from __future__ import annotations

from pathlib import Path

import papermill

from evoxtral import UserError, params, runs
from evoxtral.report.page import write_page
from evoxtral.report.stamp import STAMP, stamp

REPORT_NOTEBOOKS = ("01_data_mix", "02_sft", "03_raft", "04_benchmark")
"""The notebooks of the report, in the order of its sections."""


def run_notebook(notebook: str, profile: str, output: Path) -> Path:
    """Execute one notebook with `params/<profile>/<notebook>.yaml`.

    The executed copy is written beside `output` and renamed over it, since papermill itself
    leaves half a notebook on a full disk.

    Raises:
        UserError: a parameter file is wrong, the notebook failed (names the executed copy), or
            the disk is full (names the file).
    """
    cfg = params.profile(notebook, profile)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial.ipynb")
    try:
        papermill.execute_notebook(
            runs.notebooks_dir() / f"{notebook}.ipynb",
            partial,
            parameters=cfg.model_dump(),
            kernel_name="python3",
            cwd=runs.notebooks_dir(),
            progress_bar={"desc": notebook},
        )
    except papermill.PapermillExecutionError as error:
        failed = output.with_name(f"{output.stem}.failed.ipynb")
        partial.replace(failed)
        reason = f"{error.ename}: {error.evalue}"
        raise UserError(f"{notebook} stopped with {reason}; see {failed}") from error
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot write {output}: {error.strerror or error}; free space or set EVOXTRAL_REPORTS "
            "to another place, then run again"
        ) from error
    runs.write_bytes(output, partial.read_bytes())
    partial.unlink()
    return output


def run_report(profile: str) -> Path:
    """Execute every notebook of the report into `reports/<profile>/` and write its page.

    All parameter files are read first, so that a wrong one stops before any work.

    Returns:
        The page, `reports/<profile>/index.html`.
    """
    for notebook in REPORT_NOTEBOOKS:
        params.profile(notebook, profile)
    folder = runs.reports_dir() / profile
    made_from = {"profile": profile, "parts": stamp(REPORT_NOTEBOOKS, profile)}
    for notebook in REPORT_NOTEBOOKS:
        run_notebook(notebook, profile, folder / f"{notebook}.ipynb")
    runs.write_json(folder / STAMP, made_from)
    return write_page(profile, REPORT_NOTEBOOKS)
