"""Writes clients of an API from its OpenAPI document: one description of the API, and a writer for each language."""
