"""The feature: one route, which is in no OpenAPI document."""

from restwell import App


def test_the_route_is_not_in_the_openapi_document(unstarted: App) -> None:
    (route,) = [each for each in unstarted.routes if each.path == "/graphql" and each.method == "POST"]
    assert (route.method, route.guards, route.rate, route.include_in_schema) == ("POST", (), None, False)
    assert "/graphql" not in unstarted.openapi["paths"]
