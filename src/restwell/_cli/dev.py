"""``restwell dev``: the server for development."""

from restwell._cli import EXIT_CONFIGURATION
from restwell._extras import needs_extra


def dev() -> None:
    """Migrate, seed, and serve with reload, for development."""
    with needs_extra("dev", "dev"):
        from restwell._reload import run_with_reload
    from restwell._cli.dev_server import run_dev  # in this process, which is forked after each change
    from restwell._project import named_application

    module, _, _ = named_application().partition(":")
    run_with_reload(run_dev, module, exit_on=EXIT_CONFIGURATION)
