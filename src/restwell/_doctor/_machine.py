"""The machine: folders, disk, open files, processors and memory, within the limits of its control groups."""

import os
import resource
import shutil
from collections.abc import AsyncIterator
from typing import Final

from restwell._cpus import available_cpus, memory_limit
from restwell._database_url import sqlite_path
from restwell._doctor._finding import Finding, Subject, findings_of
from restwell._startup import check_folders
from restwell.errors import ConfigurationError

MIN_FREE_BYTES: Final = 512 * 2**20
ENOUGH_FREE_BYTES: Final = 10 * 2**30
MIN_FREE: Final = 0.05
MIN_FILES: Final = {True: 4_096, False: 1_024}
"""Open files that each process may have, in production and in development: each connection is one."""
WORKER_BYTES: Final = 150 * 2**20
"""The memory of a worker process with its caches empty, generously."""
MIB: Final = 2**20


async def check_folders_and_disk(subject: Subject) -> AsyncIterator[Finding]:
    settings = subject.settings
    faults = check_folders(settings)
    for finding in findings_of(ConfigurationError(faults)):
        yield finding
    folders = dict(settings.folders())
    url = settings.database.url.get_secret_value()
    if url.startswith("sqlite"):
        folders["DATABASE_URL"] = sqlite_path(url).parent
    for setting, folder in folders.items():
        if not folder.is_dir():
            continue
        disk = shutil.disk_usage(folder)
        inodes = os.statvfs(folder)
        if disk.free < MIN_FREE_BYTES or disk.free < min(MIN_FREE * disk.total, ENOUGH_FREE_BYTES):
            yield Finding(
                "warning",
                setting,
                f"the disk of {folder} has {disk.free // MIB:,} MiB free, {disk.free / disk.total:.0%}; on a full disk"
                " writes fail. Delete files, enlarge the disk, or name a folder on another one.",
            )
        elif inodes.f_files and inodes.f_favail < MIN_FREE * inodes.f_files:
            yield Finding(
                "warning",
                setting,
                f"the file system of {folder} has few inodes left. Delete files, or name another one.",
            )


async def check_open_files(subject: Subject) -> AsyncIterator[Finding]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MIN_FILES[subject.settings.in_production]
    if limit != resource.RLIM_INFINITY and limit < needed:
        yield Finding(
            "warning",
            "open files",
            f"a process may open {limit:,} files, and each connection is one. Raise the limit to {needed:,} or more:"
            " ulimit -n, or LimitNOFILE= of systemd.",
        )


async def check_processors(subject: Subject) -> AsyncIterator[Finding]:
    workers, cpus = subject.settings.workers, available_cpus()
    if workers > 2 * cpus:
        yield Finding(
            "warning",
            "WORKERS",
            f"{workers} workers share {cpus} processors, and only wait for each other. Set WORKERS=auto.",
        )


async def check_memory(subject: Subject) -> AsyncIterator[Finding]:
    settings = subject.settings
    cache = settings.cache_bytes if settings.cache != "off" else 0
    needed, limit = settings.workers * (WORKER_BYTES + cache), memory_limit()
    if limit is not None and needed > limit:
        yield Finding(
            "warning",
            "CACHE_BYTES",
            f"{settings.workers} workers with their caches may need {needed // MIB:,} MiB, and this process may use"
            f" {limit // MIB:,} MiB. Lower WORKERS or CACHE_BYTES, or raise the limit of memory.",
        )
