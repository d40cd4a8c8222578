"""The decimal places of amounts in each currency (ISO 4217, minor units)."""

from decimal import ROUND_HALF_UP, Decimal

USUAL = 2
NONE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND")
DIGITS = {
    **dict.fromkeys((*NONE, "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def digits_of(currency: str) -> int:
    """Return the number of decimal places of an amount."""
    return DIGITS.get(currency, USUAL)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Round to the smallest amount that can be paid, halves up."""
    return amount.quantize(Decimal(1).scaleb(-digits_of(currency)), ROUND_HALF_UP)
