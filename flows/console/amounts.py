"""Parse the numbers of texts that users write on the command line, such as `20k`."""

from decimal import Decimal, InvalidOperation

from rnnlm.errors import ConfigError, GenerationError


def amount(text: str) -> int:
    """Return a number of texts that the user wrote as, for example, `500`, `20k`, `1M` or `1e6`.

    Raises:
        ConfigError: `text` is not a number.
        GenerationError: The number is not a whole number from 1 to `MAX_COUNT`.
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
