"""Engines: graphs compiled for one GPU by TensorRT or TensorRT-RTX."""
