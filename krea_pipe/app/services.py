"""What apprise can reach: chat services, mail, phones. It is an extra (`pip install 'krea-pipe[notify]'`)."""

import logging
import warnings
from collections.abc import Callable

from krea_pipe.app.notify import Message
from krea_pipe.core.errors import Problem, UsageError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it looks for modules that later Pythons do without
    import apprise


def open_service(url: str) -> Callable[[Message], bool]:
    """What sends a message to the service of a URL, and says whether it went.

    Raises:
        UsageError: apprise does not know it, or something in it is missing.
    """
    log = logging.getLogger("apprise")  # its words hold the URL, which is a secret
    log.addHandler(logging.NullHandler())
    log.propagate = False
    service = apprise.Apprise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        is_known = service.add(url)
    if not is_known:
        message = f"apprise cannot use the {url.partition('://')[0]}:// address that --notify names"
        hint = "see https://github.com/caronc/apprise/wiki for how it is written and what it needs"
        raise UsageError(Problem("bad_notify", message, hint=hint))

    def send(message: Message) -> bool:
        kind = apprise.NotifyType.SUCCESS if message.is_good else apprise.NotifyType.FAILURE
        return bool(service.notify(body=message.text, title="krea-pipe", notify_type=kind))

    return send
