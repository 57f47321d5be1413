"""``restwell routes``: the routes of the application."""

from rich.table import Table

from restwell._cli.loading import create_app_to_inspect, load
from restwell._cli.tables import print_table


def routes() -> None:
    """List every route with its guards, its rate limit, its handler, and how it is called."""
    from restwell.rate_limits import Rate
    from restwell.web._guards import guard_name
    from restwell.web._openapi import operations

    project, settings = load()
    app = create_app_to_inspect(project, settings)
    table = Table("method", "path", "who", "rate", "handler", "called", box=None)
    called = f"through {app.host_reason}" if app.host_reason else "directly"
    for endpoint in operations(app.routes):
        guards = list(map(guard_name, endpoint.guards))
        rate = endpoint.declared_rate
        limit = f"{rate.count}/{rate.seconds} s" if isinstance(rate, Rate) else ""
        table.add_row(endpoint.method, endpoint.path, ", ".join(guards) or "anyone", limit, endpoint.name, called)
    for route in app.wrapped_routes:
        limit = f"{route.rate.count}/{route.rate.seconds} s" if isinstance(route.rate, Rate) else ""
        table.add_row(route.method, route.path, "", limit, "", "by the wrapped application")
    print_table(table, 120)
