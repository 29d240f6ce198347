from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mien.errors import ExportError
from mien.exporting.parity import agreement, prove, run_onnx

LOGITS = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)


def test_equal_answers_agree_fully() -> None:
    found = prove({"fer2013": LOGITS}, {"fer2013": LOGITS + 3})["fer2013"]  # a softmax ignores a constant
    assert (found.faces, found.same_top) == (50, 50)
    assert found.max_dp < 1e-6


def test_the_largest_difference_is_of_probabilities_not_of_logits() -> None:
    one, other = np.array([[0.0, 0.0]], np.float32), np.array([[0.0, np.log(3)]], np.float32)
    assert agreement(one, other).max_dp == pytest.approx(0.25)


def test_one_probability_that_strays_is_an_error() -> None:
    strayed = LOGITS.copy()
    strayed[17, 3] += 0.01
    with pytest.raises(ExportError, match="disagree on head 'votes'"):
        prove({"fer2013": LOGITS, "votes": LOGITS}, {"fer2013": LOGITS, "votes": strayed})


def test_one_other_top_answer_is_an_error_however_close() -> None:
    tied = LOGITS.copy()
    tied[0, :2] = tied[0].max() + 1
    nudged = tied.copy()
    nudged[0, 1] += 1e-5
    with pytest.raises(ExportError, match="most probable class on 1 of 50"):
        prove({"fer2013": tied}, {"fer2013": nudged})


def test_not_a_number_is_an_error() -> None:
    broken = LOGITS.copy()
    broken[3] = np.nan
    with pytest.raises(ExportError, match="disagree"):
        prove({"fer2013": broken}, {"fer2013": broken})


def test_a_missing_head_is_an_error() -> None:
    with pytest.raises(ExportError, match="votes"):
        prove({"fer2013": LOGITS, "votes": LOGITS}, {"fer2013": LOGITS})


def test_a_file_that_is_no_onnx_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot run"):
        run_onnx(path, np.zeros((1, 48, 48), np.uint8))
