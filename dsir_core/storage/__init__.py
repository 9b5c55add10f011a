"""Filesystems: how those beyond this machine are reached, tried again and read ahead; locks on local files."""
