"""Text that any form of output can hold."""

import re

# What XML 1.0 has no way to write (https://www.w3.org/TR/xml/#charsets) and the controls that drive a terminal. Lone
# surrogates are among them: JSON can carry those, UTF-8 cannot.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def writable(text: str) -> str:
    """The text with a replacement character for each that no XML, terminal or UTF-8 file can hold."""
    return _UNWRITABLE.sub("\ufffd", text)
