import pytest

from evenbatch import files, report
from evenbatch.errors import StorageError
from evenbatch.report.learning_curve import rows

ROWS = [
    {"epoch": 1, "accuracy": 0.5, "loss": 2.0, "val_accuracy": 0.4, "val_loss": 2.1, "seconds": 1.0},
    {"epoch": 2, "accuracy": 0.7, "loss": 1.0, "val_accuracy": 0.6, "val_loss": None, "seconds": 1.0},
]


def test_a_history_becomes_a_picture_of_four_curves(tmp_path):
    files.write_csv(tmp_path / "history.csv", ROWS)
    png = report.write_learning_curve(tmp_path)
    assert png == tmp_path / "learning-curve.png"
    assert png.read_bytes().startswith(b"\x89PNG")
    svg = png.with_suffix(".svg").read_text()
    assert svg.count("mark-line role-mark") == 4
    assert {"training", "validation", "loss", "accuracy", "epoch"} <= set(svg.replace("<", ">").split(">"))


def test_a_missing_value_is_left_out_of_its_curve():
    found = [row["value"] for row in rows(ROWS) if (row["part"], row["quantity"]) == ("validation", "loss")]
    assert found == [2.1]


def test_a_missing_history_is_an_error(tmp_path):
    with pytest.raises(StorageError, match=r"cannot read .*history\.csv"):
        report.write_learning_curve(tmp_path)


@pytest.mark.parametrize("content", ["", "epoch,loss\n1,2.0\n"])
def test_a_history_without_its_columns_is_an_error(tmp_path, content):
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(StorageError, match="val_accuracy"):
        report.write_learning_curve(tmp_path)
