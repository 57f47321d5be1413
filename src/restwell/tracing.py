"""Own spans in the traces of requests and jobs.

::

    with span("resize image", width=400):
        ...
    with http_span("POST", url) as call:
        response = await client.post(url, headers=call.headers)
        call.attributes["status"] = response.status_code

Outside a request and a job they do nothing, and ``headers`` is empty.
"""

from restwell.observability._trace import http_span
from restwell.observability._trace import span as _span

__all__ = ["http_span", "span"]


def span(name: str, **attributes: str | float) -> _span:
    """Around anything that takes time, with ``with``. Queries and calls inside it are below it.

    The attributes leave the process: pass no secrets and no personal data. ``headers`` of the result continue the trace
    in another service. An exception marks the span as failed, with its type.
    """
    return _span(name, "internal", dict(attributes))
