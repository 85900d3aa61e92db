"""The project is found from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from evoxtral import UserError, runs


def test_the_root_does_not_depend_on_the_working_directory(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOXTRAL_ROOT", raising=False)
    for folder in (repo, repo / "notebooks", tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        assert runs.root() == repo
        assert runs.params_dir() == repo / "params"
        assert runs.notebooks_dir() == repo / "notebooks"


def test_a_relative_path_of_a_parameter_starts_at_the_checkout(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOXTRAL_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert runs.named("runs/own") == repo / "runs" / "own"
    assert runs.named(str(tmp_path)) == tmp_path
    assert runs.named("~/own") == Path.home() / "own"


def test_the_environment_may_name_another_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setenv("EVOXTRAL_ROOT", str(tmp_path))
    assert runs.root() == tmp_path
    assert runs.runs_dir() == tmp_path / "runs"


def test_a_wrong_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOXTRAL_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"no Evoxtral checkout: point it at the folder"):
        runs.root()


def test_without_a_checkout_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVOXTRAL_ROOT", raising=False)
    monkeypatch.setattr(runs, "__file__", str(tmp_path / "site-packages/evoxtral/paths.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="work inside a clone, or set EVOXTRAL_ROOT"):
        runs.root()


def test_what_is_made_and_what_was_bought_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVOXTRAL_RUNS", str(tmp_path / "r"))
    monkeypatch.setenv("EVOXTRAL_REPORTS", str(tmp_path / "p"))
    monkeypatch.setenv("EVOXTRAL_BOUGHT", str(tmp_path / "b"))
    assert (runs.runs_dir(), runs.reports_dir()) == (tmp_path / "r", tmp_path / "p")
    assert runs.bought_dir() == tmp_path / "b"


def test_what_was_bought_is_not_among_what_cleaning_removes(repo: Path) -> None:
    clean = (repo / "Makefile").read_text().partition("\nclean:\n")[2]
    assert "runs" in clean
    assert runs.bought_dir().name not in clean
    assert not runs.bought_dir().is_relative_to(runs.runs_dir())
