"""The edge: the outermost ASGI middleware, which the application builds. It has no public names.

It answers cached GET requests itself and passes the others to the application.
"""

__all__: list[str] = []
