"""The layout of the shop's emails, as plain text and HTML."""

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import Final

from restwell.jobs import Backoff, job
from restwell.mail import Mail

email_job: Final = job(queue="mail", max_attempts=10, timeout_seconds=60, backoff=Backoff(initial_seconds=30))
"""Decorator of email jobs: own queue, retried with backoff for about two hours while the mail server is down."""

# ISO 4217 currencies whose minor unit is not a hundredth, with their number of decimals.
_NO_DECIMALS: Final = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
    "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_DECIMALS: Final = dict.fromkeys(_NO_DECIMALS, 0) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def format_money(amount: int, currency: str) -> str:
    """Format an amount in minor units: 12900 and EUR give "129.00 EUR"."""
    return f"{Decimal(amount).scaleb(-_DECIMALS.get(currency, 2)):,f} {currency}"


def render_email(
    *, to: str, subject: str, paragraphs: Sequence[str], table: Sequence[Sequence[str]] = (), key: str
) -> Mail:
    """Render an email as plain text and HTML. ``key`` makes sending idempotent.

    The recipient's name is never included: anyone can register the address of a third party with a name that contains a
    message.
    """
    rows = "\n".join("  ".join(row) for row in table)
    text = "\n\n".join(["Hello,", *paragraphs, *([rows] if rows else []), "The shop"])
    html = "".join(f"<p>{escape(part)}</p>" for part in ("Hello,", *paragraphs))
    if table:
        cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table)
        html += f"<table>{cells}</table>"
    page = f'<!doctype html><html lang="en"><body>{html}<p>The shop</p></body></html>'
    return Mail(to=to, to_name="", subject=subject, text=f"{text}\n", html=page, key=key)
