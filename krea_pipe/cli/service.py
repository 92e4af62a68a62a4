"""Sends one message through apprise: `python -m krea_pipe.cli.service`, with the message on standard input."""

import json
import sys

from krea_pipe.app.notify import Message, open_service


def main() -> int:
    """Send it; 0 when it was delivered. The address is a secret, so it is not in an argument."""
    given = json.load(sys.stdin)
    return 0 if open_service(given["url"])(Message(given["text"], {}, is_good=given["is_good"])) else 1


if __name__ == "__main__":
    sys.exit(main())
