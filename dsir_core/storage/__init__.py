"""Filesystems beyond this machine: how they are reached, tried again, and read ahead."""
