"""The metadata of the tables of accounts. ``_migrations`` creates those of the parts that are chosen."""

from typing import Final

from sqlalchemy import MetaData

metadata: Final = MetaData()
