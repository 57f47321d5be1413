"""Compares who may call an operation, and how credentials are sent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from restwell._api._changes import Change, Level

_TEXTS: Final = ("description", "flows", "bearerFormat")
_IN_DOCUMENT: Final = "security schemes"
_ALWAYS: Final[Sequence[Mapping[str, list[str]]]] = [{}]


def scheme_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Changes of the schemes with one name. That operations accept one more, or one less, is a change of those."""
    for name in sorted(old.keys() & new.keys()):
        before, after = old[name], new[name]
        if _wire_form(before) != _wire_form(after):
            yield _breaking(
                f"{name} is another scheme",
                "Clients that send credentials as before are refused.",
                "Add the new scheme beside the old one.",
            )
        if before.get("bearerFormat") != after.get("bearerFormat"):
            what = f"format of {name} {before.get('bearerFormat')} -> {after.get('bearerFormat')}"
            consequence, cure = "Clients that read what is in the token may fail.", "Tell clients not to read it."
            yield Change(Level.RISKY, _IN_DOCUMENT, what, consequence, cure)
        yield from _flow_changes(name, before.get("flows", {}), after.get("flows", {}))


def renamed_schemes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """The new names of schemes that only have another name: it is no part of a request."""
    added = {repr(_wire_form(new[name])): name for name in sorted(new.keys() - old.keys(), reverse=True)}
    forms = {name: repr(_wire_form(old[name])) for name in old.keys() - new.keys()}
    return {name: added[form] for name, form in forms.items() if form in added}


def requirement_changes(
    old: Sequence[Mapping[str, list[str]]] | None, new: Sequence[Mapping[str, list[str]]] | None, operation: str
) -> Iterator[Change]:
    """Changes of the alternative requirements. Without any, the operation is public."""
    before, after = list(old or _ALWAYS), list(new or _ALWAYS)
    for requirement in before:
        if not any(_is_enough(requirement, other) for other in after):
            what = "requires credentials now" if not requirement else f"refuses {_named(requirement)} now"
            if known := [other for other in after if other and other.keys() <= requirement.keys()]:
                missing = sorted(_scopes(known[0]) - _scopes(requirement))
                what = f"requires the scope {' and '.join(missing)} of {_named(requirement)} now"
            yield Change(
                Level.BREAKING,
                "security",
                what,
                f"Calls with {_named(requirement)} fail with 401 or 403.",
                "Accept what was enough before in this version.",
                (operation,),
            )
    for requirement in after:
        if not any(_is_enough(requirement, other) for other in before):
            yield Change(Level.SAFE, "security", f"accepts {_named(requirement)} now", operations=(operation,))


def _flow_changes(scheme: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for flow, before in old.items():
        if flow not in new:
            yield _breaking(f"flow {flow} of {scheme} removed", "Clients that get tokens by it fail.", "Keep the flow.")
            continue
        after = new[flow]
        for url in ("tokenUrl", "authorizationUrl", "refreshUrl"):
            if before.get(url) != after.get(url):
                what = f"{url} of {scheme} {before.get(url)} -> {after.get(url)}"
                yield _breaking(what, "Clients that use the old URL get no token.", "Keep the old URL working.")
        scopes, others = before.get("scopes", {}), after.get("scopes", {})
        for scope in sorted(scopes.keys() - others.keys()):
            what = f"scope {scope} of {scheme} removed"
            yield _breaking(what, "Clients that ask for it get no token.", "Keep the scope, even if it grants nothing.")
        for scope in sorted(others.keys() - scopes.keys()):
            yield Change(Level.SAFE, _IN_DOCUMENT, f"scope {scope} of {scheme} added")
    for flow in sorted(new.keys() - old.keys()):
        yield Change(Level.SAFE, _IN_DOCUMENT, f"flow {flow} of {scheme} added")


def _wire_form(scheme: Mapping[str, Any]) -> Any:
    """What clients send. The name of an HTTP scheme is case-insensitive."""
    form = {key: value for key, value in sorted(scheme.items()) if key not in _TEXTS}
    return form | ({"scheme": str(form["scheme"]).lower()} if "scheme" in form else {})


def _is_enough(given: Mapping[str, list[str]], required: Mapping[str, list[str]]) -> bool:
    return all(scheme in given and {*scopes} <= {*given[scheme]} for scheme, scopes in required.items())


def _scopes(requirement: Mapping[str, list[str]]) -> set[str]:
    return {scope for scopes in requirement.values() for scope in scopes}


def _named(requirement: Mapping[str, list[str]]) -> str:
    schemes = [f"{name} ({', '.join(scopes)})" if scopes else name for name, scopes in requirement.items()]
    return " and ".join(schemes) or "no credentials"


def _breaking(what: str, consequence: str, cure: str) -> Change:
    return Change(Level.BREAKING, _IN_DOCUMENT, what, consequence, cure)
