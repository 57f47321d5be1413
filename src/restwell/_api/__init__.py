"""Compares two OpenAPI documents of this kit: what changed, for whom it breaks, and what to do instead.

Everything here is a pure function of decoded JSON. The commands are in ``restwell/_cli/api.py``.
"""
