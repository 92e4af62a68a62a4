"""The process of a shard that a cluster has started: `python -m krea_pipe.cli.shard_process LOCK ARGUMENT...`.

It runs the command line, and stops as after Ctrl-C when its input is closed. The lock makes a second process of the
same shard wait until the first has ended.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from krea_pipe.cli.main import main
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.store.lock import exclusive_in_turn


def _stop_at_the_end_of_the_input() -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 1024):
        pass
    signal.raise_signal(signal.SIGINT)


def run_shard() -> None:
    """Run the command line once no other process of the shard does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a cluster may have it ignored
    if hasattr(signal, "pthread_sigmask"):  # or blocked, as Ray's workers have
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    lock = Path(sys.argv.pop(1))
    try:
        threading.Thread(target=_stop_at_the_end_of_the_input, daemon=True).start()
        with exclusive_in_turn(lock):
            main()
    except KeyboardInterrupt:  # before the command line has begun
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    run_shard()
