"""Tables for papers: special characters of LaTeX and Markdown are escaped, and numbers are the scores."""

from __future__ import annotations

import csv
import io

from mien.reports.tabular import Tabular, of_evaluation, render_all

TABLE = Tabular("Two_models, 50 %", ("model", "accuracy, %"), (("a_b & c", "61.5 ± 0.3"), ("x|y", "60.0")))


def test_markdown_keeps_its_bars() -> None:
    assert TABLE.render("markdown") == (
        "Two_models, 50 %\n\n| model | accuracy, % |\n| --- | ---: |\n"
        "| a_b & c | 61.5 ± 0.3 |\n| x\\|y | 60.0 |\n"
    )


def test_latex_is_escaped() -> None:
    assert TABLE.render("latex") == (
        "% Two_models, 50 %\n\\begin{tabular}{lr}\n\\toprule\nmodel & accuracy, \\% \\\\\n\\midrule\n"
        "a\\_b \\& c & 61.5 $\\pm$ 0.3 \\\\\nx|y & 60.0 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )


def test_csv_is_read_back() -> None:
    assert [tuple(row) for row in csv.reader(io.StringIO(TABLE.render("csv")))] == [
        TABLE.headings,
        *TABLE.rows,
    ]


def test_an_evaluation_has_its_scores_and_the_classes_with_faces() -> None:
    import mien

    evaluation = mien.evaluate("mien-tiny", data="synthetic", split="PublicTest", bootstrap=50)
    scores, classes = of_evaluation(evaluation)
    assert scores.rows[0][1].startswith(f"{100 * evaluation.scores.accuracy:.1f} (")
    assert [row[0] for row in classes.rows] == [
        name for name, each in evaluation.scores.per_class.items() if each.support
    ]
    assert render_all([scores, classes], "latex").count(r"\begin{tabular}") == 2
