import json
import re
import subprocess
import sys

import pytest

from evenbatch import files, report
from evenbatch.errors import StorageError
from evenbatch.report import page, reading
from evenbatch.report.figures import draw

HOSTILE = ("with", "</script><script>fail()</script>", "<!--", "without")


def html(folder):
    """The page without the script that draws, which is the slow part of it."""
    study = reading.read(folder)
    return page.render(study, draw(study), "")


def embedded(whole, name):
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', whole, re.S)
    return json.loads(text)


def test_a_study_becomes_a_page_with_figures_and_their_data(make):
    folder = make()
    assert report.write(folder) == folder / "report.html"
    for figure in draw(reading.read(folder)):
        png = (folder / "figures" / f"{figure.name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert int.from_bytes(png[16:20]) >= 2 * 640  # pixels across, at twice the size
        assert (folder / "figures" / f"{figure.name}.svg").read_text().startswith("<svg")


def test_every_csv_holds_what_its_figure_plots(make):
    folder = make(seeds=2, outcomes={("without", 0): "diverged"})
    charts = embedded(report.write(folder).read_text(), "charts")
    assert sorted(charts) == sorted(path.stem for path in (folder / "data").iterdir())
    for name, chart in charts.items():
        rows = files.read_csv(folder / "data" / f"{name}.csv")
        written = [{key: value for key, value in row.items() if value is not None} for row in rows]
        assert written == chart["datasets"]["rows"], name


def test_every_odd_study_has_a_page(make, odd):
    assert html(make(**odd)).endswith("</html>")


def test_names_and_errors_are_text_wherever_they_stand(make):
    ours = html(make(arms=HOSTILE, seeds=1, outcomes={("<!--", 0): "failed"}))
    assert "<script>fail()" not in ours
    assert "<b>bold" not in ours
    assert "<!--" not in ours
    assert "&lt;script&gt;fail()&lt;/script&gt; &amp; &lt;b&gt;bold&lt;/b&gt;" in ours
    drawn = embedded(ours, "charts")["validation-accuracy"]["datasets"]["rows"]
    assert HOSTILE[1] in {row.get("arm") for row in drawn}


def test_the_page_has_as_many_scripts_as_it_opened(make):
    whole = report.write(make(arms=HOSTILE, seeds=1)).read_text()
    assert len(re.findall(r"<script\b", whole)) == len(re.findall(r"</script>", whole)) == 4


def test_the_page_loads_nothing_and_is_of_a_bearable_size(make):
    whole = report.write(make()).read_text()
    assert len(whole) < 2_000_000
    outside = re.sub(r"(<script[^>]*>).*?</script>", r"\1", whole, flags=re.S)
    assert not re.search(r'<(?:script|img|link)[^>]+(?:src|href)="(?!data:)', outside)
    assert "@import" not in outside
    assert "url(" not in outside


def test_the_card_tells_how_to_reproduce(make):
    card = html(make())
    for part in ("evenbatch compare &lt;mlp&gt;", "ab" * 32, "100 training", "python 3.11", "0, 1, 2, 3, 4, 5"):
        assert part in card, part


def test_writing_twice_writes_the_same(make):
    folder = make(seeds=1)
    first = report.write(folder).read_bytes()
    assert report.write(folder).read_bytes() == first


@pytest.mark.parametrize(
    "name", ["study.json", "summary.json", "trials/with-s0/trial.json", "trials/with-s0/history.csv"]
)
def test_a_missing_file_is_named(make, name):
    folder = make(seeds=1)
    (folder / name).unlink()
    with pytest.raises(StorageError, match=re.escape(str(folder / name))):
        report.write(folder)


@pytest.mark.parametrize("name", ["study.json", "summary.json", "trials/with-s0/trial.json"])
@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', "null"])
def test_a_damaged_file_is_named(make, name, content):
    folder = make(seeds=1)
    (folder / name).write_text(content)
    with pytest.raises(StorageError, match=re.escape(str(folder / name))):
        report.write(folder)


def test_another_format_is_refused(make):
    folder = make(seeds=1)
    files.write_json(folder / "study.json", {**files.read_json(folder / "study.json"), "format": 2})
    with pytest.raises(StorageError, match="it has format 2, this version reads 1"):
        report.write(folder)


def test_the_report_loads_no_keras():
    code = (
        "import sys; sys.argv = ['evenbatch']\n"
        "import evenbatch.report.page, evenbatch.report.learning_curve\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch', 'evenbatch.study'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_naming_the_package_loads_no_plotting():
    code = "import sys; sys.argv = ['evenbatch']\nimport evenbatch.report\nprint('altair' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
