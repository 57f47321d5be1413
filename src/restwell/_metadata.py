"""The metadata of the tables that the kit owns. ``_migrations/versions`` creates them in the database."""

from typing import Final

from sqlalchemy import MetaData

metadata: Final = MetaData()
