"""The lock file that several shards leave: each line from the run that has generated its cell."""

from collections.abc import Sequence

from krea_pipe.planning.lockfile import Lockfile, LockLine, lockfile_of
from krea_pipe.planning.shard_record import ShardRecord


def merged_lock(base: Lockfile, records: Sequence[ShardRecord]) -> Lockfile:
    """Merge the lines of all shards into a lock file.

    Args:
        base: The current lock file. Its lines stay for cells of which no shard has any; those of cells that the
            pipeline no longer has are dropped.
        records: The records of the runs, oldest first, at least one. Of several with lines of a cell, the latest that
            has one of its current request counts.

    Returns:
        The new lock file; nothing is written.
    """
    keys = records[-1].keys
    found = {cell: lines for cell, lines in base.of_cells().items() if cell in keys}
    chosen: dict[str, tuple[LockLine, ...]] = {}
    for record in records:
        for cell, lines in lockfile_of(base.file, record.lines).of_cells().items():
            is_current = any(line.key == keys.get(cell) for line in lines)
            if is_current or not any(line.key == keys.get(cell) for line in chosen.get(cell, ())):
                chosen[cell] = lines
    return base.with_cells(found | chosen)
