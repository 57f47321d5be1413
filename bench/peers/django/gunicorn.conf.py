"""Gunicorn: WORKERS processes with ten threads each."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = int(os.environ["WORKERS"])
threads = 10
worker_class = "gthread"
keepalive = 60
worker_connections = 1_000
