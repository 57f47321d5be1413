"""Amounts of money as text."""

from decimal import Decimal
from typing import Final

# ISO 4217 currencies whose minor unit is not a hundredth, with their number of decimals.
_NO_DECIMALS: Final = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
    "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_DECIMALS: Final = dict.fromkeys(_NO_DECIMALS, 0) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def format_money(amount: int, currency: str) -> str:
    """Format an amount in minor units: 12900 and EUR give "129.00 EUR"."""
    return f"{Decimal(amount).scaleb(-_DECIMALS.get(currency, 2)):,f} {currency}"
