"""Amounts in US dollars as text."""

from decimal import Decimal, InvalidOperation

FREE = "0.00"


def cents_or_finer(amount: Decimal) -> int:
    """The decimals that an amount needs, and at least two."""
    return max(2, -int(amount.normalize().as_tuple().exponent))


def exact(amount: Decimal) -> str:
    """Money for programs, in one form everywhere.

    Args:
        amount: US dollars.

    Returns:
        All digits that it needs and at least two decimals, without a power of ten: `0.03`, `0.0175`, `12.00`.
    """
    return f"{amount:.{cents_or_finer(amount)}f}"


def exact_text(text: str) -> str:
    """The same for an amount that an earlier version has written in another form; other text is returned unchanged."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return text
    return exact(amount) if amount.is_finite() else text
