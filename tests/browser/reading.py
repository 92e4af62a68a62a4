"""Reading the sheet as somebody who looks at it does: by where things stand, not by how they are made."""

TALL = {"width": 1280, "height": 2400}


_CELLS = """() => {
  const box = (node) => node.getBoundingClientRect();
  const shown = (name) => [...document.querySelectorAll(name)].filter((node) => node.checkVisibility());
  const heads = shown(".head");
  const [labels, headings] = [shown(".row-label"), shown(".heading-text")];
  return shown(".cell").map((cell) => {
    const place = box(cell);
    const section = cell.closest("section");
    const above = (node) => section.contains(node) && box(node).top <= place.top + 1;
    const spans = (outer) => outer.left <= place.left + 1 && outer.right >= place.right - 1;
    const over = (node) => section.contains(node) && spans(box(node));
    const row = labels.filter(above).at(-1);
    return {
      index: Number(cell.dataset.index),
      name: cell.querySelector(".frame").getAttribute("aria-label").split(": ")[0],
      columns: heads.filter(over).map((node) => node.innerText.trim()),
      row: row ? row.innerText.trim() : "",
      heading: headings.filter(above).at(-1)?.innerText ?? "",
      caption: cell.querySelector(".what")?.textContent ?? "",
      top: place.top, left: place.left, width: place.width,
      slot: { top: box(cell.querySelector(".frame")).top, height: box(cell.querySelector(".frame")).height },
    };
  });
}"""


def cells_of(page):
    """The cells that are drawn, each with the heads above it and the label beside it, in the order of the page."""
    return sorted(page.evaluate(_CELLS), key=lambda cell: (round(cell["top"]), cell["left"]))


def names_of(page):
    """What tells each cell from the others, in the order in which one reads the page."""
    return [cell["name"] for cell in cells_of(page)]


def shelves_of(page):
    """Which axes stand on the shelves of the only stage."""
    found = page.locator(".shelf-axes li").evaluate_all(
        "items => items.map(({ dataset, parentElement }) => [parentElement.dataset.shelf, dataset.axis])"
    )
    return {shelf: [axis for at, axis in found if at == shelf] for shelf in ("rows", "columns", "aside")}


def cell_at(page, index):
    """The button of a cell, by its place in the report."""
    return page.locator(f"#c{index} > .frame")


def follow(page, text):
    """Go to another part of the page, as a link does."""
    page.evaluate("hash => { location.hash = hash; }", text)
