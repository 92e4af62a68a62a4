"""Reading a multipart/form-data body without a further package (starlette's own form reader needs one)."""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form: its declared media type, if any, and its bytes."""

    media_type: str | None
    data: bytes


def read_form(content_type: str, body: bytes) -> dict[str, Part] | None:
    """The fields of a form by name, or None when the body is not a well-formed one."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        return None
    delimiter = b"\r\n--" + boundary.encode("utf-8", "replace")
    _, *chunks = (b"\r\n" + body).split(delimiter)
    if not chunks or not chunks[-1].startswith(b"--"):
        return None
    return dict(named for chunk in chunks[:-1] if (named := _read_part(chunk)))


def _read_part(chunk: bytes) -> tuple[str, Part] | None:
    head, gap, data = chunk.partition(b"\r\n\r\n")
    headers = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n"))
    name = headers.get_param("name", header="Content-Disposition")
    if not gap or not isinstance(name, str):
        return None
    declared = headers.get_content_type() if "Content-Type" in headers else None
    return name, Part(declared, data)
