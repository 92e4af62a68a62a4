"""ICC profiles of colour spaces that a file names by its primaries and its curve, so that they convert as others do.

The primaries are adapted to the white of ICC profiles as ICC.1:2022, annex E, says: with the Bradford matrix.
"""

import struct
from typing import TypeAlias

_Vector: TypeAlias = tuple[float, float, float]
_Matrix: TypeAlias = tuple[_Vector, _Vector, _Vector]
Primaries: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""The chromaticities x and y of white, red, green and blue, as PNG orders them."""

_D65 = (0.3127, 0.329)
SRGB: Primaries = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
OF_CODE: dict[int, Primaries] = {
    1: SRGB,
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),  # ITU-R BT.2020
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # SMPTE RP 431-2
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),  # Display P3
}
"""Primaries by their code of ITU-T H.273, table 2."""
SRGB_CURVE = 0.0
"""Stands for the curve of sRGB in the place of an exponent."""
GAMMA_OF_CODE = {1: SRGB_CURVE, 4: 2.2, 5: 2.8, 6: SRGB_CURVE, 8: 1.0, 13: SRGB_CURVE, 14: SRGB_CURVE}
"""Exponents by the code of a transfer function (ITU-T H.273, table 3); video's are shown as that of sRGB."""

_D50 = (0.96422, 1.0, 0.82521)
_BRADFORD: _Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
_LIKE_SRGB = 0.002
"""Chromaticities that are no further apart are the same, rounded otherwise."""


def matrix_profile(primaries: Primaries, gamma: float) -> bytes | None:
    """Make a profile.

    Args:
        primaries: the chromaticities.
        gamma: the exponent of all three curves, or `SRGB_CURVE`.

    Returns:
        The bytes of an ICC profile; None for sRGB, and for what is not a colour space.
    """
    is_srgb = all(abs(one - other) < _LIKE_SRGB for one, other in zip(primaries, SRGB, strict=True))
    if is_srgb and gamma == SRGB_CURVE:
        return None
    try:
        columns = _adapted(primaries)
    except ZeroDivisionError:
        return None
    if max(abs(one) for column in columns for one in column) > 4:
        return None
    curve = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    if gamma != SRGB_CURVE:
        curve = b"para\0\0\0\0\0\0\0\0" + _fixed(gamma)
    tags = [(b"wtpt", _xyz(_D50)), *zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, columns), strict=True)]
    return _encoded([*tags, *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))])


def _adapted(primaries: Primaries) -> list[_Vector]:
    """The XYZ of full red, green and blue under the white of ICC profiles."""
    pairs = [primaries[at : at + 2] for at in range(0, 8, 2)]
    white, *colours = ((x / y, 1.0, (1 - x - y) / y) for x, y in pairs)
    shares = _applied(_inverse(_transposed(colours)), white)
    response, wanted = _applied(_BRADFORD, white), _applied(_BRADFORD, _D50)
    back = _inverse(_BRADFORD)
    adapted = []
    for colour, share in zip(colours, shares, strict=True):
        cones = _applied(_BRADFORD, (colour[0] * share, colour[1] * share, colour[2] * share))
        x, y, z = (one * new / old for one, new, old in zip(cones, wanted, response, strict=True))
        adapted.append(_applied(back, (x, y, z)))
    return adapted


def _applied(matrix: _Matrix, vector: _Vector) -> _Vector:
    x, y, z = (sum(one * other for one, other in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z


def _transposed(columns: list[_Vector]) -> _Matrix:
    first, second, third = zip(*columns, strict=True)
    return first, second, third


def _inverse(matrix: _Matrix) -> _Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    of_all = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    first, second, third = ((x / of_all, y / of_all, z / of_all) for x, y, z in rows)
    return first, second, third


def _xyz(vector: _Vector) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*vector)


def _fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def _encoded(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Head, table and data of a profile for displays (ICC.1:2022, section 7)."""
    begin, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", begin + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I", begin + len(body)) + bytes(4) + b"\4\0\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    return head + bytes(28) + _fixed(*_D50) + bytes(48) + struct.pack(">I", len(tags)) + table + body
