"""TensorRT and TensorRT-RTX: graphs compiled for one GPU, kept in a cache, and run."""
