"""Architecture rules: the direction of imports, the size of files, and documents that match the code."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from restwell.database import find_queries
from restwell.errors import AppError
from servers import ROOT
from shop.named_queries import named_queries
from shop.settings import ShopSettings

SOURCES = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "shop/src/shop").rglob("*.py")])
FRAMEWORKS = {"litestar"}
KNOWS_THE_FRAMEWORK = ("app", "web")
LAYERS = [  # a module may import those of its own set and above
    {
        "ids",
        "errors",
        "client_ip",
        "email_addresses",
        "extras",
        "circuit_breaker",
        "child_processes",
        "files",
        "folders",
        "heartbeats",
        "database_url",
        "redis",
    },
    {"settings", "observability", "mail"},
    {"database", "auth"},
    {"cache", "edge", "jobs", "rate_limits"},
    {"idempotency", "web"},
    {"app", "optional_parts"},
    {"project", "testing"},
    {"server", "reload", "startup", "supervisor"},
    {"cli"},
    {"__main__", "__init__"},
]
FEATURE_FILES = {"models", "schemas", "queries", "service", "routes"}
FEATURES = {file.parent.name for file in (ROOT / "shop/src/shop").glob("*/routes.py")}
RULES = {
    "service",
    "stock",
    "settlement",
    "login_throttle",
    "reauthentication",
    "credentials",
    "verification",
    "tokens",
}
"""The modules of a feature that other features may import."""
SECTIONS = 17


def imports_of(file: Path) -> Iterator[str]:
    """The dotted names of the modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(file: Path) -> list[str]:
    return list(file.with_suffix("").parts[file.parts.index("src", len(ROOT.parts)) + 1 :])


def layer_of(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if _plain(name) in names)


def _plain(name: str) -> str:
    return name if name.startswith("__") else name.removeprefix("_")


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: ".".join(module_of(file)))
def test_imports_point_one_way(file: Path) -> None:
    package, own, *rest = [*module_of(file), ""]
    for imported in imports_of(file):
        top, *below = imported.split(".")
        if package == "restwell":
            assert top != "shop", "the kit never imports the application"
            assert top not in FRAMEWORKS or _plain(own) in KNOWS_THE_FRAMEWORK, "only _app and web know it"
            if top == "restwell" and below and _plain(below[0]) in set().union(*LAYERS):
                assert layer_of(below[0]) <= layer_of(own), f"{own} imports {below[0]}, which is above it"
        if package == "shop":
            assert top not in FRAMEWORKS, "an application uses restwell.web"
            if len(below) > 1 and below[0] in FEATURES - {own} and own in FEATURES:
                assert below[1] in RULES | {"models", "schemas"}, "a feature calls another's service"
            if rest and rest[0] in FEATURE_FILES:
                assert _points_down(rest[0], below, own), f"{rest[0]} imports {imported}"


def _points_down(own_file: str, below: list[str], feature: str) -> bool:
    """Within a feature: routes -> service -> queries -> models and schemas."""
    above = {
        "models": {"schemas", "queries", "service", "routes"},
        "schemas": {"queries", "service", "routes"},
        "queries": {"service", "routes"},
        "service": {"routes"},
        "routes": {"queries"},
    }
    return not (len(below) > 1 and below[0] == feature and below[1] in above[own_file])


def test_importing_does_no_io_and_opens_nothing() -> None:
    """The shop and the command line import without writing a file or opening a socket."""
    code = (
        "import sys, socket\n"
        "sys.addaudithook(lambda event, args: sys.exit(event + str(args)) if event.startswith('socket.')"
        " or (event == 'open' and set(str(args[1])) & set('wa+')) else None)\n"
        "import shop.app, restwell._cli\n"
    )
    subprocess.run([sys.executable, "-B", "-c", code], check=True, cwd=ROOT)


def test_no_python_file_exceeds_400_lines() -> None:
    for file in (*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "shop/tests").rglob("*.py")):
        assert len(file.read_text().splitlines()) <= 400, f"{file} is over 400 lines: split it by concept"


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    example = (ROOT / ".env.example").read_text()
    documented = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    settings = {"_".join(path).upper() for path in ShopSettings.paths()}
    assert documented == settings | {"SECRETS_DIR", "RESTWELL_APP"}


def test_the_section_table_names_all_sections_and_files_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", readme, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, SECTIONS + 1))
    for number, _, where in rows:
        paths = re.findall(r"`([^`]+)`", where)
        assert paths or "not built yet" in where, f"section {number} names no file"
        for path in paths:
            assert (ROOT / path).exists(), f"section {number} names {path}, which does not exist"


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_and_make_targets_in_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (ROOT / target).exists(), f"{document} links to {target}"
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= make_targets()


@pytest.mark.parametrize("pipeline", [".ci/run", ".github/workflows/ci.yml", ".gitlab-ci.yml", "Jenkinsfile"])
def test_each_pipeline_runs_make_targets_that_exist(pipeline: str) -> None:
    commands = re.findall(r"\bmake ([a-z][a-z -]+)", (ROOT / pipeline).read_text())
    targets = {target for command in commands for target in command.split()}
    assert targets & {"test", "coverage"}
    assert targets <= make_targets()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_decision_has_its_four_sections() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert decisions
    for decision in decisions:
        headings = re.findall(r"^## (.+)$", decision.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], decision.name


def test_every_dependency_has_its_reason() -> None:
    stack = (ROOT / "docs/decisions/0001-stack.md").read_text()
    for name in sorted(declared("pyproject.toml") | declared("shop/pyproject.toml") - {"restwell"}):
        assert f"**{name}**" in stack, f"{name} has no reason in docs/decisions/0001-stack.md"


@pytest.mark.parametrize(("sources", "project"), [("src", "pyproject.toml"), ("shop/src", "shop/pyproject.toml")])
def test_every_imported_library_is_declared(sources: str, project: str) -> None:
    """Breaks if a library is imported because another one happens to bring it."""
    distributions = packages_distributions()
    own = {"restwell"} if sources == "src" else {"shop"}
    for file in sorted((ROOT / sources).rglob("*.py")):
        modules = {name.partition(".")[0] for name in imports_of(file)} - own - sys.stdlib_module_names
        for module in modules:
            named = {name.lower().replace("_", "-") for name in distributions.get(module, [module])}
            assert named & declared(project), f"{file} imports {module}, which {project} does not declare"


def declared(project: str) -> set[str]:
    """The names of the dependencies of a project, with those of its extras."""
    table = tomllib.loads((ROOT / project).read_text())["project"]
    lists = [table["dependencies"], *table.get("optional-dependencies", {}).values()]
    names = {re.match(r"[a-z0-9-]+", requirement)[0] for one in lists for requirement in one}  # type: ignore[index]
    return names - {table["name"]}


def test_every_query_of_the_shop_is_explained() -> None:
    files = sorted((ROOT / "shop/src/shop").glob("*/queries.py"))
    modules = [import_module(f"shop.{file.parent.name}.queries") for file in files]
    assert set(find_queries(*modules)) <= set(named_queries()), "add the module to shop/src/shop/named_queries.py"


def test_lock_files_pin_hashes_and_name_no_address() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        assert "://" not in text
        pinned = re.findall(r"^[a-z0-9._-]+(?:\[[a-z,]+\])?==\S+", text, re.MULTILINE)
        assert len(pinned) > 20
        assert text.count("--hash=sha256:") >= len(pinned)


def test_every_error_code_and_message_has_the_required_form() -> None:
    def below(error: type[AppError]) -> Iterator[type[AppError]]:
        for one in error.__subclasses__():
            yield one
            yield from below(one)

    for error in below(AppError):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
        assert 400 <= error.status <= 599
        assert error.message.endswith((".", "errors.", "Allow."))
