/* The rows of the report, which come as columns: `row_table.py` says how. */

/** The objects that a table of columns holds; `outer` are those of the table that it is in. */
function rowsOf({ shapes, shape, columns }, count, outer = []) {
  const blanks = shapes.map((names) => Object.fromEntries(names.map((name) => [name, columns[name].all])));
  const rows = Array.from(valuesIn(shape, count), (place) => ({ ...blanks[place] }));
  for (const [name, column] of Object.entries(columns)) {
    if ("all" in column) continue; // a blank has it already
    const owners = shapes.length > 1 ? rows.filter((row) => Object.hasOwn(row, name)) : rows;
    const values = column.same ? outer.map((row) => row[column.same]) : valuesIn(column, owners.length, owners);
    owners.forEach((row, at) => (row[name] = values[at]));
  }
  return rows;
}

/** The values of a column, one for each of the rows that it has some for. */
function valuesIn(column, count, rows) {
  if (Array.isArray(column)) return column;
  if (column.table) return rowsOf(column.table, count, rows);
  return column.at ? column.at.map((place) => column.values[place]) : Array(count).fill(column.all);
}
