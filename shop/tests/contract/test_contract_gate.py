"""No change of the shop's documents passes ``restwell api diff`` unseen."""

from pathlib import Path

import msgspec
import pytest

from contract_mutants import assert_each_kind_has_its_class

SNAPSHOTS = sorted(Path(__file__).parent.glob("openapi-*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda path: path.stem)
def test_each_kind_of_mutant_of_a_document_has_its_class(snapshot: Path) -> None:
    """Breaks when a document of the shop has something that the comparison does not cover, or compares wrongly."""
    assert_each_kind_has_its_class(msgspec.json.decode(snapshot.read_bytes()), per_kind=1, kinds=75)
