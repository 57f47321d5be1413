"""The catalogue becomes a service while the shop is used (docs/two-services.md): the script, with little load."""

import shutil
from pathlib import Path

import pytest

from case_study.split import split
from servers import NEEDS, postgres_programs


async def test_the_catalogue_moves_to_another_service_without_a_failed_request_or_a_lost_order(tmp_path: Path) -> None:
    """Fails if a server is killed instead of drained, if the switch takes no lock of the writes, if the replica gets no
    updates, or if orders of before get no reservation.
    """
    if shutil.which("nginx") is None or postgres_programs() is None:
        pytest.skip(f"{NEEDS}: nginx and PostgreSQL (apt-get install nginx-light postgresql)")
    found = await split(tmp_path, seconds=1, per_second=20)
    assert found["failed"] == []
    wrong = ("lost", "doubled", "differences", "lost_changes", "unsettled", "wrong_cancellations", "wrong_stock")
    assert {name: found[name] for name in (*wrong, "wrong_reservations")} == dict.fromkeys(
        (*wrong, "wrong_reservations"), 0
    )
    assert min(found["orders"], found["cancelled"], found["compared"]) > 0
