"""nbval_numbers: a change just inside a cell's tolerance passes, one just outside fails, and so does all else."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest
from nbval.plugin import IPyNbCell
from nbval_numbers import PLOTLY, Tolerance, figure_differences, read_tolerance, text_differences

ROOT = Path(__file__).parents[2]
IMAGES = Tolerance(absolute=2 / 100)
SHARE = Tolerance(relative=0.02)
TABLE = "task      mnist  signs\nmethod\nstandard   0.89   0.93\nlinear     0.86 -14.20\n"


def text_moved(old: str, new: str, tolerance: Tolerance = Tolerance()) -> list[str]:  # noqa: B008
    return list(text_differences(old, new, tolerance, "output 1"))


def figure_moved(old, new, tolerance: Tolerance = Tolerance()) -> list[str]:  # noqa: B008
    return list(figure_differences(old, new, tolerance, "output 1"))


def array(values, dtype: str = "f8") -> dict:
    values = np.asarray(values, dtype)
    shape = {} if values.ndim == 1 else {"shape": ", ".join(map(str, values.shape))}
    return {"dtype": dtype, "bdata": base64.b64encode(values.tobytes()).decode(), **shape}


@pytest.mark.parametrize(
    ("tolerance", "inside", "outside"),
    [
        # 0.02, and a unit of the last printed digit, for both sides are rounded
        (IMAGES, ("0.89", "0.92"), ("0.89", "0.93")),
        (IMAGES, ("0.8900", "0.8699"), ("0.8900", "0.8698")),
        (SHARE, ("-14.20", "-14.49"), ("-14.20", "-14.50")),  # 0.284
        (SHARE, ("2.50e-03", "2.56e-03"), ("2.50e-03", "2.57e-03")),
        (SHARE, ("28", "28.6"), ("28", "28.7")),  # a decimal that :.3g or :g has shortened
        (Tolerance(0.02, 0.02), ("14.20", "14.49"), ("14.20", "14.50")),  # the larger one
        (Tolerance(0.5, 0.02), ("14.20", "14.71"), ("14.20", "14.72")),
    ],
)
def test_numbers_of_a_text_move_as_far_as_the_tolerance(tolerance, inside, outside):
    text = "loss {} after 80 steps."
    assert not text_moved(text.format(inside[0]), text.format(inside[1]), tolerance)
    (sentence,) = text_moved(text.format(outside[0]), text.format(outside[1]), tolerance)
    assert sentence == f"output 1, line 1: {outside[1]} instead of {outside[0]} in 'loss {outside[0]} after 80 steps.'"
    assert text_moved(text.format(inside[0]), text.format(inside[1]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signs", "sings"),
        (" 0.93", ""),
        (" 0.93", " 0.93 0.93"),
        ("0.93", "NaN"),
        ("linear", "linear\nlinear"),
        ("standard   0.89   0.93\nlinear     0.86 -14.20", "linear     0.86 -14.20\nstandard   0.89   0.93"),
    ],
)
def test_words_and_the_number_of_numbers_of_a_text_are_exact(old, new):
    assert old in TABLE
    assert text_moved(TABLE, TABLE.replace(old, new), IMAGES)


@pytest.mark.parametrize("old", ["80 steps", "1-10: a", "order 1.", "27 of 27", "torch 2.15.0", "ViT-B-32", "a1.5"])
def test_integers_and_names_with_digits_are_exact(old):
    new = old.replace("1", "2") if "1" in old else old.replace("2", "3").replace("8", "9")
    assert not text_moved(old, old, Tolerance(100, 100))
    assert text_moved(old, new, Tolerance(100, 100))


@pytest.mark.parametrize(("old", "new"), [("-0.00  x", "0.00 x"), ("NaN 1", "NaN      1"), ("(0.5, a)", "( 0.5,  a)")])
def test_signs_of_zero_and_spaces_do_not_count(old, new):
    assert not text_moved(old, new)


def test_words_that_may_flip_are_left_out_and_nothing_beside_them():
    flips = Tolerance(words={"^(yes|no) ": "a tie", r"α (\d\.\d\d) at": "a tie"})
    assert not text_moved("yes least\nα 0.65 at 0.5", "no  least\nα 0.90 at 0.5", flips)
    assert text_moved("yes least", "no most", flips)
    assert text_moved("is yes", "is no", flips)
    assert text_moved("α 0.65 at 0.5", "α 0.90 at 0.6", flips)


def figure(**changes) -> dict:
    trace = {"name": "mnist", "x": array([1, 2, 3], "i1"), "y": array([[0.5, np.nan], [0.25, 40.0]]), "z": [0.5, None]}
    layout = {"shapes": [{"x0": 0.5}], "bar": {"tickvals": array([0.5, 1.0])}, "title": "at 0.50", "width": 700}
    return {"data": [trace | changes.pop("trace", {}), *changes.pop("more", [])], "layout": layout | changes}


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"trace": {"y": array([[0.5201, np.nan], [0.25, 40.0]])}}, {"trace": {"y": array([[0.522, np.nan], [0.25, 40]])}}),
        ({"trace": {"y": array([[0.5, np.nan], [0.25, 40.8]])}}, {"trace": {"y": array([[0.5, np.nan], [0.25, 40.81]])}}),
        ({"trace": {"z": [0.48, None]}}, {"trace": {"z": [0.478, None]}}),
        ({"shapes": [{"x0": 0.52}]}, {"shapes": [{"x0": 0.522}]}),
        ({"bar": {"tickvals": array([0.5, 1.02])}}, {"bar": {"tickvals": array([0.5, 1.03])}}),
        ({"title": "at 0.53"}, {"title": "at 0.54"}),
    ],
)  # fmt: skip
def test_numbers_of_a_figure_move_as_far_as_the_tolerance(inside, outside):
    tolerance = Tolerance(absolute=0.02, relative=0.02)
    assert not figure_moved(figure(), figure())
    assert not figure_moved(figure(), figure(**inside), tolerance)
    assert len(figure_moved(figure(), figure(**outside), tolerance)) == 1
    assert figure_moved(figure(), figure(**inside))


@pytest.mark.parametrize(
    "change",
    [
        {"trace": {"x": array([1, 2, 4], "i1")}},
        {"trace": {"x": array([1, 2, 3], "i2")}},
        {"trace": {"x": array([1, 2, 3], "f8")}},
        {"trace": {"x": [1, 2, 3]}},
        {"trace": {"y": array([0.5, np.nan, 0.25, 40.0])}},
        {"trace": {"y": array([[0.5, 0.5], [0.25, 40.0]])}},
        {"trace": {"y": array([[0.5, np.nan]])}},
        {"trace": {"z": [0.5, 0.5]}},
        {"trace": {"z": [0.5]}},
        {"trace": {"name": "signs"}},
        {"trace": {"mode": "lines"}},
        {"more": [{"name": "more"}]},
        {"width": 701},
        {"width": 700.0},
        {"title": "near 0.50"},
    ],
)
def test_all_else_of_a_figure_is_exact(change):
    assert figure_moved(figure(), figure(**change), Tolerance(100, 100))
    assert figure_moved(figure(**change), figure(), Tolerance(100, 100))


def test_places_that_may_flip_are_left_out_and_a_difference_says_where_it_is():
    moved = figure(trace={"z": [0.9, None]}, width=701)
    assert figure_moved(figure(), moved) == [
        "output 1/data/mnist/z/0: 0.9 instead of 0.5",
        "output 1/layout/width: 701 instead of 700",
    ]
    assert len(figure_moved(figure(), moved, Tolerance(places={"data/mnist/z": "a tie"}))) == 1


@pytest.mark.parametrize(
    ("tolerance", "sentence"),
    [
        (0.1, "tolerance must be an object with some of absolute, images, of, places, relative, words, not 0.1"),
        ({"relativ": 0.1}, "tolerance must be an object with some of"),
        ({"images": 2}, "tolerance must have images and of, or absolute instead"),
        ({"images": 2, "of": 300, "absolute": 0.1}, "tolerance must have images and of, or absolute instead"),
        ({"images": 0.5, "of": 300}, "images of a tolerance must be a positive count, not 0.5"),
        ({"relative": -0.1}, "relative of a tolerance must be a positive number, not -0.1"),
        ({"absolute": float("nan")}, "absolute of a tolerance must be a positive number, not nan"),
        ({"absolute": True}, "absolute of a tolerance must be a positive number, not True"),
        ({"words": ["yes|no"]}, "words of a tolerance must give each regular expression its reason"),
        ({"words": {"yes|no": " "}}, "words of a tolerance must give each regular expression its reason"),
        ({"places": {"(": "a tie"}}, "places of a tolerance has the malformed expression '('"),
    ],
)
def test_a_malformed_tolerance_is_named(tolerance, sentence):
    with pytest.raises(ValueError) as caught:
        read_tolerance({"tolerance": tolerance})
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_tolerances_are_read():
    given = {"images": 3, "of": 300, "relative": 0.02, "words": {"yes|no": "a tie"}}
    assert read_tolerance({"tolerance": given}) == Tolerance(0.01, 0.02, {"yes|no": "a tie"})
    assert read_tolerance({"tags": ["parameters"]}) == Tolerance()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_tolerances_of_notebooks_are_well_formed_and_belong_to_cells_that_are_compared(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "code" and read_tolerance(cell.metadata) != Tolerance():
            assert cell.outputs
            assert "NBVAL_IGNORE_OUTPUT" not in cell.source


def test_another_nbval_is_refused(monkeypatch):
    import nbval_numbers

    monkeypatch.setattr(IPyNbCell, "compare_outputs", lambda self, outputs: True)
    with pytest.raises(pytest.UsageError, match="does not fit this version of nbval"):
        nbval_numbers.pytest_configure(None)


SOURCES = [
    'print("accuracy 0.50\\nyes, at 3 steps")',
    f"""from IPython.display import display
display({{"{PLOTLY}": {{"data": [{{"y": {array([0.5])!r}}}], "layout": {{}}}}, "text/plain": ""}}, raw=True)""",
    "0.25",
]


def inside(cells) -> None:
    """Inside the tolerance in every cell but the last."""
    cells[0].metadata["tolerance"] = {"images": 2, "of": 100, "words": {"^(yes|no)": "a tie"}}
    cells[0].outputs[0].text = "accuracy  0.52\nno, at 3 steps\n"
    cells[1].metadata["tolerance"] = {"relative": 0.02}
    cells[1].outputs[0].data[PLOTLY]["data"][0]["y"] = array([0.501])
    cells[2].outputs[0].data["text/plain"] = "0.26"


def beyond(cells) -> None:
    """Outside of it in two cells, and a tolerance that is none."""
    inside(cells)
    cells[0].outputs[0].text = "accuracy 0.54\nyes, at 4 steps\n"
    cells[1].outputs[0].data[PLOTLY]["data"][0]["y"] = array([0.52])
    cells[2].metadata["tolerance"] = {"relativ": 0.1}


def missing(cells) -> None:
    cells[0].outputs.clear()


def test_nbval_uses_it(tmp_path):
    """On a notebook that holds what it prints, after each of these changes."""
    path, changed = tmp_path / "tiny.ipynb", []
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCES]), path)
    command = ["jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", path]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    for change in (inside, beyond, missing):
        notebook = nbformat.read(path, 4)
        change(notebook.cells)
        changed.append(path.with_stem(change.__name__))
        nbformat.write(notebook, changed[-1])
    command = [sys.executable, "-m", "pytest", "-v", "--nbval", "-c", ROOT / "pyproject.toml", "--color=no", *changed]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    outcomes = re.findall(r"::Cell \d (\w+) .*%\]", printed)
    assert outcomes[:3] == ["PASSED", "PASSED", "FAILED"]
    assert "output 1, line 1: 0.25 instead of 0.26 in '0.26'" in printed
    assert outcomes[3:6] == ["FAILED"] * 3
    assert "output 1, line 1: 0.50 instead of 0.54 in 'accuracy 0.54'" in printed
    assert "output 1, line 2: 3 instead of 4 in '…, at 4 steps'" in printed
    assert "2 differences" in printed
    assert "output 1/data/0/y/values/0: 0.5 instead of 0.52" in printed
    assert "tolerance must be an object with some of" in printed
    assert outcomes[6:] == ["FAILED", "PASSED", "PASSED"]
    assert "Unexpected output fields from running code" in printed


def test_tolerances_outlive_an_execution(tmp_path):
    cell = nbformat.v4.new_code_cell("print(0.5)", metadata={"tolerance": {"relative": 0.02}, "tags": ["parameters"]})
    path, executed = tmp_path / "tiny.ipynb", tmp_path / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", path]
    subprocess.run(command, check=True, capture_output=True)
    papermill.execute_notebook(path, executed, kernel_name="python3", progress_bar=False)
    for each in (path, executed):
        cells = json.loads(each.read_text())["cells"]
        assert cells[0]["metadata"]["tolerance"] == {"relative": 0.02}
        assert cells[0]["outputs"]
