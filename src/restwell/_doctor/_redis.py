"""Redis: whether it answers and permits what the application does, and whether it keeps what it is given."""

from collections.abc import AsyncIterator
from typing import Any, Final

from restwell import _startup as startup
from restwell._doctor._finding import Finding, Subject, sentence

MIN_VERSION: Final = (6, 2)


async def check_redis(subject: Subject) -> AsyncIterator[Finding]:
    for setting, url in subject.redis_urls.items():
        probe = startup.probe_redis if setting == "REDIS_URL" else startup.probe_streams
        fallback = (
            "the cache and the rate limits are local" if setting == "REDIS_URL" else "the database notifies workers"
        )
        try:
            unreachable = await probe(url, subject.name)
        except ValueError as error:
            yield Finding("error", setting, sentence(str(error)))
            continue
        if unreachable is not None:
            yield Finding(
                "warning",
                setting,
                f"Redis does not answer ({unreachable.rstrip('.')}), so {fallback}. Start it, or correct the URL.",
            )
            continue
        async for finding in _check_server(setting, await _info(url)):
            yield finding


async def _check_server(setting: str, info: dict[str, Any]) -> AsyncIterator[Finding]:
    version = str(info.get("redis_version", ""))
    if version and tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        yield Finding(
            "error", setting, f"Redis {version} is too old. Install {'.'.join(map(str, MIN_VERSION))} or newer."
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "warning",
            setting,
            f"the eviction policy is {policy}: Redis may drop rate limits and jobs that it was told to keep."
            " Set maxmemory-policy noeviction, with enough memory.",
        )
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > 0.9 * limit:
        yield Finding(
            "warning", setting, f"{used / limit:.0%} of maxmemory is in use; at 100% writes fail. Raise maxmemory."
        )


async def _info(url: str) -> dict[str, Any]:
    from restwell._redis import connect  # noqa: PLC0415  # loaded only if it is used

    client: Any = connect(url, timeout_seconds=startup.PROBE_SECONDS)
    try:
        info: dict[str, Any] = await client.info()
    finally:
        await client.aclose()
    return next((node for node in info.values() if isinstance(node, dict) and "redis_version" in node), info)
