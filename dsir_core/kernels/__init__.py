"""What compiled kernels of several packages share: machine operations, and the key of Numba's cache on disk."""
