"""From outcomes to the report: where images are, what a cell cost, and that the money adds up."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from sample_reports import PRICE, make_report, make_stage


@pytest.mark.parametrize("out", [Path("out/lamp"), Path("/tmp/elsewhere/a b"), Path.cwd() / "out"])
def test_images_are_found_from_the_page_wherever_they_were_put(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".krea-pipe/runs/some-run"
    report = make_report(make_stage("lamp", {"seed": [1]}), out=out, folder=folder)
    (row,) = report.rows
    assert not Path(row.image).is_absolute()
    assert os.path.normpath(folder / report.base / row.image) == str(tmp_path / out / "lamp/1.png")


def test_another_drive_is_an_absolute_path(monkeypatch, tmp_path):
    def no_way(path, start):
        raise ValueError(f"path is on mount {path}, start on mount {start}")

    monkeypatch.setattr("os.path.relpath", no_way)
    report = make_report(make_stage("lamp", {"seed": [1]}), out=tmp_path)
    assert report.base == Path.cwd().as_posix()
    assert report.rows[0].image == (tmp_path / "lamp/1.png").as_posix()


def test_a_cell_that_may_be_billed_shows_what_it_may_have_cost(small_report):
    costs = {row.status: row.cost_usd for row in small_report.rows}
    assert costs == {
        "succeeded": PRICE,
        "reused": Decimal(0),
        "failed": Decimal(0),
        "uncertain": PRICE,
        "pending": Decimal(0),
    }
    cost = small_report.cost
    assert (cost.spent_usd, cost.uncertain_usd, cost.saved_usd) == (3 * PRICE, PRICE, 2 * PRICE)
    assert sum(row.cost_usd for row in small_report.rows) == cost.spent_usd + cost.uncertain_usd


@pytest.mark.parametrize("status", ["succeeded", "uncertain"])
def test_what_two_cells_share_costs_once(status):
    stage, [(step, outcome)] = make_stage("lamp", {"seed": [1]}, lambda _: status)
    twin = step.cells[0]._replace(id="lamp/twin", out="lamp/twin")
    report = make_report((stage, [(step._replace(cells=(*step.cells, twin)), outcome)]))
    assert [(row.cost_usd, row.reason) for row in report.rows] == [
        (PRICE, "new"),
        (Decimal(0), "same request as lamp/1"),
    ]
