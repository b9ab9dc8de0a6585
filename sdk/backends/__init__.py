"""Inference runtimes behind one small interface, see `session` and `select`."""
