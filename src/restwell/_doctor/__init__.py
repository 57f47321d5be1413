"""The checks of ``restwell doctor``: a module for each kind, and the list of all checks in ``_checks``."""
