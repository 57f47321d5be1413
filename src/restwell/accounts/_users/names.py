from typing import Final

_MAX_NAME: Final = 200


def account_name(name: str, email: str) -> str:
    """The name of a foreign source as an account may have it. Without a printable one, a part of the address."""
    printable = "".join(filter(str.isprintable, name)).strip()
    return printable[:_MAX_NAME] or email.partition("@")[0]
