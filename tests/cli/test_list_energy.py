from __future__ import annotations

import pytest

from spikeworks.cli.main import main


def test_profiles_with_their_prices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "energy-profiles"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["fp32-45nm"].startswith("4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate; SRAM 8 KB, ")
    assert lines["int8-45nm"].endswith("DRAM for words of 8 bits")


def test_conventions_with_their_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "energy-conventions"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"neurobench", "neurobench-nsa", "sop", "sop-still"}
    assert "NeuroBench" in lines["neurobench"] and "arXiv 2209.15425" in lines["sop"]
