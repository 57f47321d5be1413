"""The reference API on restwell: an e-commerce back end, one folder a resource."""
