"""The public names of the package. Those that need the extra are imported on first use."""

import subprocess
import sys

import pytest

from restwell import auth


def test_every_public_name_exists() -> None:
    for name in auth.__all__:
        assert getattr(auth, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = auth.nothing


@pytest.mark.integration
def test_the_core_imports_no_library_of_an_extra() -> None:
    """Breaks if a module of the core imports a library of an extra: without it, no command starts."""
    libraries = ["aio_pika", "aiormq", "aiosmtplib", "argon2", "asyncpg", "email_validator", "httpx", "joserfc"]
    libraries += ["pyotp", "redis", "swagger_ui", "zxcvbn"]
    code = (
        "import sys, restwell._cli, restwell._app, restwell.auth, restwell.web\n"
        f"sys.exit(' '.join(set({libraries}) & set(sys.modules)) or 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr.strip()) == (0, "")
