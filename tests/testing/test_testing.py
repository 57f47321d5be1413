"""What the import of ``restwell.testing`` needs."""

import subprocess
import sys

import pytest

import restwell.testing
from restwell.errors import ConfigurationError


@pytest.mark.slow
def test_the_module_imports_neither_the_provider_nor_pytest() -> None:
    """Breaks if an application with unittest, or without the extra ``auth``, cannot import the module."""
    not_imported = {
        "pytest",
        "joserfc",
        "restwell.testing._openid_provider",
        "schemathesis",
        "restwell.testing._contract",
    }
    code = f"import sys, restwell.testing as t; print({not_imported} & {{*sys.modules}}); t.Nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n"
    assert "module 'restwell.testing' has no attribute 'Nothing'" in done.stderr


def test_the_provider_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "restwell.testing._openid_provider", raising=False)
    monkeypatch.setitem(sys.modules, "joserfc", None)
    line = r"restwell\.testing\.OpenIdProvider: joserfc is not installed: pip install 'restwell\[auth\]'"
    with pytest.raises(ConfigurationError, match=line):
        _ = restwell.testing.OpenIdProvider
