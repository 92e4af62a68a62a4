"""The pages of runs with `--shard`, and of what `merge` makes of them."""

from reading import names_of


def test_the_page_of_a_shard_says_which_it_is_also_without_cells_and_the_merged_page_has_all_cells(project, open_page):
    project.pipeline(["fox"])
    pages, facts = [], []
    for number in (1, 2):
        done = project.run("run", "p.yaml", "--json", "--shard", f"{number}/2")
        assert done.code == 0, done.text
        pages.append(open_page((project.path / done.json["page"]).as_uri()))
        facts.append(done.json["cells"]["total"])
    assert sorted(facts) == [0, 1]
    for number, (page, count) in enumerate(zip(pages, facts, strict=True), 1):
        assert f"Shard {number}/2: {count} image" in page.inner_text("body")
        assert len(names_of(page)) == count
    merged = project.run("merge", ".krea-pipe/runs", "--json")
    page = open_page((project.path / merged.json["page"]).as_uri())
    assert "1 image: 1 rendered." in page.inner_text("body")
    assert len(names_of(page)) == 1
