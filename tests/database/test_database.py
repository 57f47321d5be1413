"""``open_database``: the database of a URL."""

from pathlib import Path

import pytest

from restwell.database import open_database
from restwell.database._postgres import PostgresDatabase
from restwell.database._routing import RoutedDatabase
from restwell.database._sqlite import SqliteDatabase

NOWHERE = "postgresql://u@127.0.0.1:1/d"


def test_the_url_and_its_replicas_choose_the_database(tmp_path: Path) -> None:
    assert type(open_database(f"sqlite:///{tmp_path / 'x.db'}")) is SqliteDatabase
    assert type(open_database(NOWHERE)) is PostgresDatabase
    routed = open_database(NOWHERE, replica_urls=[NOWHERE, NOWHERE])
    assert isinstance(routed, RoutedDatabase)
    assert [replica.name for replica in routed.replicas] == ["replica 1", "replica 2"]


@pytest.mark.parametrize("url", ["mysql://host/d", "sqlite://", "", "postgresql+psycopg://host/d"])
def test_another_url_is_refused(url: str) -> None:
    """Breaks when any other URL counts as one of PostgreSQL."""
    with pytest.raises(ValueError, match=r"must begin with postgresql://|must name a file"):
        open_database(url)
