"""The form of every mail the shop sends: paragraphs, and perhaps a table."""

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from typing import Final

from restwell.jobs import Backoff, job
from restwell.mail import Mail

email_job: Final = job(queue="mail", max_attempts=10, timeout_seconds=60, backoff=Backoff(initial_seconds=30))
"""How every mail is sent: in its own queue, and again for an hour or two while the mail server is away."""

# ISO 4217's currencies without a hundredth: how many decimals their minor unit stands for.
_NONE: Final = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF")  # fmt: skip
_DECIMALS: Final = dict.fromkeys(_NONE, 0) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def format_money(amount: int, currency: str) -> str:
    """An amount in a currency's minor unit, as people write it: 12900 and EUR are 129.00 EUR."""
    return f"{Decimal(amount).scaleb(-_DECIMALS.get(currency, 2)):,f} {currency}"


def render_email(
    *, to: str, subject: str, paragraphs: Sequence[str], table: Sequence[Sequence[str]] = (), key: str
) -> Mail:
    """The same in plain text and in HTML. It names nobody: anyone may register an address of somebody else, with a name that is a
    message of theirs, and this shop would send it.
    """
    rows = "\n".join("  ".join(row) for row in table)
    text = "\n\n".join(["Hello,", *paragraphs, *([rows] if rows else []), "The shop"])
    html = "".join(f"<p>{escape(part)}</p>" for part in ("Hello,", *paragraphs))
    if table:
        cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table)
        html += f"<table>{cells}</table>"
    page = f'<!doctype html><html lang="en"><body>{html}<p>The shop</p></body></html>'
    return Mail(to=to, to_name="", subject=subject, text=f"{text}\n", html=page, key=key)
