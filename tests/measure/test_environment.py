from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import torch

import spikeworks
from spikeworks.measure import environment


def test_all_that_a_report_names():
    found = environment(["/somewhere/bin/spikeworks", "run", "--task", "a b"])
    assert found["command"] == "spikeworks run --task 'a b'"
    assert found["torch"] == torch.__version__
    assert found["spikeworks"] == spikeworks.__version__
    assert found["machine"]["cores"] >= 1
    assert set(found["machine"]) == {"architecture", "cpu", "cores", "memory_bytes", "os", "devices"}
    assert found["started"].endswith("+00:00")
    json.dumps(found, allow_nan=False)


def test_module_call_is_written_as_one():
    assert environment(["/x/spikeworks/__main__.py", "list"])["command"] == "python -m spikeworks list"
    assert environment([])["command"] == ""


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = environment([], tmp_path)
    assert found["commit"] is None and found["modified"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_and_modified_files(tmp_path):
    def git(*words):
        who = ["-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "--no-verify", "-m", "one")
    clean = environment([], tmp_path)
    assert len(clean["commit"]) == 40 and clean["modified"] is False
    (tmp_path / "file").write_text("two")
    assert environment([], tmp_path)["modified"] is True


def test_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment([])["commit"] is None
