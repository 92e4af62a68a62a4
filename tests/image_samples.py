"""Images with colour profiles, and with what Content Credentials look like."""

import io
import struct
import zlib

from PIL import Image


def s15(*numbers):
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def display_p3():
    """An ICC profile of Display P3, its primaries adapted to D50 as ICC asks for (ICC.1:2022, annex F)."""
    curve = b"para\0\0\0\0\0\3\0\0" + s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    xyz = {
        b"wtpt": (0.9642, 1, 0.8249),
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    tags = {name: b"XYZ \0\0\0\0" + s15(*values) for name, values in xyz.items()}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return icc(b"mntrRGB XYZ ", tags)


def grey_gamma_1():
    """A profile of greys that are proportional to light."""
    white = b"XYZ \0\0\0\0" + s15(0.9642, 1, 0.8249)
    return icc(b"mntrGRAYXYZ ", {b"wtpt": white, b"kTRC": b"curv\0\0\0\0\0\0\0\0"})


def icc(kind, tags):
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = struct.pack(">I", at + len(body))
    head = size + b"lcms\4\0\0\0" + kind + bytes(12) + b"acsp" + bytes(28) + s15(0.9642, 1, 0.8249) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def near(pixel, wanted, distance=6):
    return all(abs(one - other) <= distance for one, other in zip(pixel, wanted, strict=True))


def signed(form, size=(40, 20)):
    """An image with what Content Credentials look like in its format (C2PA 2.1, A.3), of which no byte vouches."""
    data = encoded(Image.new("RGB", size, (220, 20, 20)), form)
    box = b"\0\0\0\x10jumb" + bytes(8)
    match form:
        case "PNG":
            chunk = len(box).to_bytes(4, "big") + b"caBX" + box
            return data[:33] + chunk + zlib.crc32(b"caBX" + box).to_bytes(4, "big") + data[33:]
        case "JPEG":
            segment = b"JP\0\1\0\0\0\1" + box
            return data[:2] + b"\xff\xeb" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:]
        case "WEBP":
            more = b"C2PA" + len(box).to_bytes(4, "little") + box
            return b"RIFF" + (len(data) + len(more) - 8).to_bytes(4, "little") + data[8:] + more
    whole = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + box
    return data + (len(whole) + 8).to_bytes(4, "big") + b"uuid" + whole
