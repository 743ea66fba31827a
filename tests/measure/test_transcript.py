"""Edit distance on hand cases and against its definition, greedy decoding, CTC against the sum over all paths."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.core.batch import Batch
from spikeworks.core.errors import DataError, ShapeError
from spikeworks.measure.transcript import TranscriptMeter, ctc_losses, edit_distance, greedy

WORDS = st.text("ab一", max_size=5)


@pytest.mark.parametrize(
    ("reference", "found", "edits"),
    [
        ("", "", 0),
        ("零一二", "零一二", 0),
        ("零一二", "", 3),
        ("", "零一", 2),
        ("零一二三", "零二三", 1),  # one left out
        ("零二三", "零一二三", 1),  # one put in
        ("零一二三", "零五二三", 1),  # one replaced
        ("一二三四", "二三四五", 2),  # one left out, one put in, cheaper than four replaced
        ("kitten", "sitting", 3),
        ("intention", "execution", 5),
    ],
)
def test_edit_distance_by_hand(reference, found, edits):
    assert edit_distance(reference, found) == edit_distance(list(reference), list(found)) == edits


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_its_definition_and_a_metric(a, b, c):
    @functools.cache
    def defined(i, j):
        if not i or not j:
            return i + j
        return min(defined(i - 1, j) + 1, defined(i, j - 1) + 1, defined(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert edit_distance(a, b) == defined(len(a), len(b)) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def scores_of(rows: list[list[int]], labels: int = 4) -> torch.Tensor:
    """Scores ``[T, B, K]`` whose best labels are ``rows``."""
    return 9 * torch.nn.functional.one_hot(torch.tensor(rows).T, labels).float()


def test_greedy_joins_equal_neighbours_and_stops_at_the_end():
    output = scores_of([[0, 1, 1, 0, 1, 2], [3, 3, 2, 2, 2, 1], [0, 0, 0, 0, 0, 0]])
    assert greedy(output, torch.tensor([6, 3, 6])) == [[1, 1, 2], [3, 2], []]


def probability(logits: torch.Tensor, labels: list[int]) -> float:
    """The sum over all paths of T labels that collapse to ``labels``."""
    chances = logits.softmax(1)
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        joined = [label for label, _ in itertools.groupby(path) if label]
        if joined == labels:
            total += math.prod(float(chances[t, label]) for t, label in enumerate(path))
    return total


def ragged() -> tuple[torch.Tensor, Batch]:
    output = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.arange(5).unsqueeze(1) < torch.tensor([5, 3, 4])
    return output, Batch(torch.zeros(5, 3, 2), torch.tensor([[1, 1], [2, -1], [1, 2]]), mask)


def test_ctc_is_the_sum_over_all_paths():
    output, batch = ragged()
    wanted = [
        -math.log(probability(output[:5, 0], [1, 1])),
        -math.log(probability(output[:3, 1], [2])),
        -math.log(probability(output[:4, 2], [1, 2])),
    ]
    assert ctc_losses(output, batch).tolist() == pytest.approx(wanted)


def test_padding_of_frames_and_labels_has_no_gradient_and_no_weight():
    output, batch = ragged()
    loud = output.clone()
    loud[3:, 1], loud[4:, 2] = 100.0, -100.0
    torch.testing.assert_close(ctc_losses(loud, batch), ctc_losses(output, batch))
    loud.requires_grad_()
    ctc_losses(loud, batch).sum().backward()
    assert loud.grad is not None and not loud.grad[3:, 1].any() and not loud.grad[4:, 2].any()


def test_too_few_frames_cost_infinitely_much():
    batch = Batch(torch.zeros(2, 1, 2), torch.tensor([[1, 1]]))  # needs three: 1, blank, 1
    assert ctc_losses(torch.zeros(2, 1, 3), batch).item() == math.inf


def test_half_precision_is_computed_in_float32():
    output, batch = ragged()
    assert ctc_losses(output.bfloat16(), batch).dtype == torch.float32


def test_the_meter_adds_edits_and_labels():
    meter = TranscriptMeter()
    with pytest.raises(DataError, match="before any transcript"):
        meter.compute()
    output = scores_of([[1, 0, 2, 0], [3, 0, 3, 0]])
    meter.update(output, Batch(torch.zeros(4, 2, 2), torch.tensor([[1, 2, -1], [3, 1, 2]])))
    meter.update(scores_of([[1, 0, 0, 0]]), Batch(torch.zeros(4, 1, 2), torch.tensor([[2]])))
    figures = meter.compute()
    # [1 2] is right; [3 3] for [3 1 2] has 2 edits; [1] for [2] has 1
    assert figures["cer"] == 3 / 6 and figures["exact"] == 1 / 3 and math.isfinite(figures["loss"])


def test_a_label_for_the_unknown_is_always_wrong():
    known, strict = TranscriptMeter(), TranscriptMeter(unknown=1)
    for meter in (known, strict):
        meter.update(scores_of([[1, 0, 2, 0]]), Batch(torch.zeros(4, 1, 2), torch.tensor([[1, 2]])))
    assert known.compute()["cer"] == 0 and strict.compute()["cer"] == 0.5


def test_shapes():
    batch = Batch(torch.zeros(4, 2, 2), torch.tensor([[1, 2], [3, 1]]))
    with pytest.raises(
        ShapeError, match=r"(?s)shape \[4, 2, 'K'\] for transcripts \[B, L\], got \[2, 4\].*readout 'every'"
    ):
        ctc_losses(torch.zeros(2, 4), batch)
