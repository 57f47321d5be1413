"""Lists what the tests guarantee, to compare two checkouts: ``python tests/support/guarantees.py [CHECKOUT]``.

It prints each row of the scoreboard, each test that names its breakage, and each build that is broken on purpose.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SUITES: Final = ("tests", "shop/tests")
BREAKAGE: Final = re.compile(r"\b(breaks?|broke|broken|seen to fail|before)\b", re.IGNORECASE)


def guarantees(checkout: Path) -> Iterator[str]:
    for path in sorted(path for suite in SUITES for path in (checkout / suite).rglob("*.py")):
        source = path.read_text()
        yield from (f"build {name}" for name in re.findall(r"BROKEN\W+([a-z]+(?:-[a-z]+)+)", source))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.scoreboard":
                yield f"row {' | '.join(ast.unparse(one) for one in node.args)}"
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
                if BREAKAGE.search("\n".join(lines)):
                    yield f"test {path.relative_to(checkout)} {node.name}"


if __name__ == "__main__":
    found = sorted(set(guarantees(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[2])))
    print("\n".join(found))  # noqa: T201  # its purpose
