"""restwell: the production layer for Python REST APIs."""

from restwell.app import App, Restwell
from restwell.database import Migrations
from restwell.project import Project

__all__ = ["App", "Migrations", "Project", "Restwell"]
