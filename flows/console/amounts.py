"""Amounts as written on the command line."""

from decimal import Decimal, InvalidOperation

from rnnlm.errors import ConfigError, GenerationError


def amount(text: str) -> int:
    """Parse a number of texts: digits, `20k`, `1M`, `1e6`.

    Raises:
        ConfigError: The text is not a number.
        GenerationError: The number is out of range.
    """
    from rnnlm.config import MAX_COUNT, shorten  # noqa: PLC0415 - pydantic is slow to import

    scale = {"k": 1000, "M": 1_000_000}.get(text[-1:], 1)
    digits = text[:-1] if scale > 1 else text
    try:
        amount = Decimal(digits.replace("_", "").replace(",", "")) * scale
    except InvalidOperation:
        raise ConfigError(
            f"--count {shorten(text)} is not a number (expected, for example, 1000)"
        ) from None
    if not amount.is_finite() or not 1 <= amount <= MAX_COUNT or amount != int(amount):
        raise GenerationError(
            f"--count {shorten(text)} is out of range (expected a whole number from 1 to "
            f"{MAX_COUNT:,})"
        )
    return int(amount)
