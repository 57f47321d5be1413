"""The reference API built on restwell: an e-commerce back end with one package per feature."""
