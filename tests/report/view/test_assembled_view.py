"""`view` of a pipeline: every current cell, and whatever changes about it."""

from command_line import check_document
from krea_server import until
from money import draw
from served_view import viewed

FAILED = {"status": "failed", "result": {"error": {"code": "nsfw", "message": "no"}}}


def test_every_current_cell_is_shown_with_its_image(project, krea):
    krea.mutate_job(lambda job: {**job, **FAILED}, text="bad")
    draw(krea)
    project.pipeline(["gone", "a", "b"])
    project.run("run", "p.yaml", "--out", "drawn")
    project.pipeline(["a", "b", "bad", "new"])
    assert project.run("run", "p.yaml", "-k", "bad", "--out", "drawn").code == 1
    (project.path / "drawn/b.png").write_bytes(b"edited")
    with viewed(project, "p.yaml") as view:
        report, rows = view.json("report.json"), view.rows()
        check_document(report)
        assert {name: row["status"] for name, row in rows.items()} == {
            "a": "succeeded",
            "b": "succeeded",
            "bad": "failed",
            "new": "pending",
        }
        blob = f".krea-pipe/loopback/blobs/{rows['b']['sha256'][:2]}/{rows['b']['sha256']}"
        assert [rows[name]["image"] for name in ("a", "b", "bad")] == ["drawn/a.png", blob, None]
        assert (rows["bad"]["error"]["code"], rows["a"]["cost_usd"]) == ("nsfw", "0.03")
        assert report["totals"]["cost"]["spent_usd"] == "0.06"
        assert all(view.get(f"originals/{rows[name]['sha256']}").status_code == 200 for name in ("a", "b"))
        page = view.get().text
        assert ("as in the file now, with the images of all runs" in page, "<dt>Took" in page) == (True, False)
        assert view.post("p", {"add": [{"id": "p/a", "stars": 5}]}).status_code == 200
    assert "p/a" in (project.path / "picks/p.yaml").read_text()


def test_changes_of_the_file_and_of_the_store_are_followed(project, krea):
    draw(krea)
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    with viewed(project, "p.yaml") as view, view.events() as events:
        project.write("p.yaml", "version: 1\nprompt: [")
        project.pipeline(["a", "b"])
        events.next("rerun")
        until(lambda: view.rows().keys() == {"a", "b"}, "the new cell")
        assert view.rows()["b"]["status"] == "pending"
        assert project.run("run", "p.yaml").code == 0
        until(lambda: view.rows()["b"]["status"] == "succeeded", "the new image")


def test_a_table_is_followed_with_the_picks_made_on_the_page(project, krea):
    draw(krea)
    project.write("rows.csv", "w\na\n")
    more = "  final: {for_each: p, picks: picks/p.yaml, promote: {variant: large}}\n"
    text = 'version: 1\nbudget: {usd: 5}\nstages:\n  p: {prompt: "{{ row.w }}", matrix: {row: {csv: rows.csv}}}\n'
    project.write("p.yaml", text + more)
    assert project.run("run", "p.yaml").code == 6
    with viewed(project, "p.yaml") as view:
        (cell,) = (row["id"] for row in view.json("report.json")["cells"])
        assert view.post("p", {"add": [{"id": cell, "stars": 5}]}).status_code == 200
        project.write("rows.csv", "w\na\nb\n")
        until(lambda: len(view.json("report.json")["cells"]) == 3, "the new cell and the picked one")
