"""The few kinds of failure that callers treat differently."""


class DsirError(Exception):
    """Base of every failure this package raises on purpose; its text is one line for the user."""


class RequestError(DsirError):
    """The request is wrong (a setting, a path, an empty target): nothing to retry, exit status 2."""


class MissingFieldError(RequestError):
    """A file has no column of the name that the request gives; others may have it."""


class DamagedFileError(DsirError):
    """A source file cannot be read whole: truncated, corrupt, changed, or not what its name says.

    Never retried, and never passed over: the shard fails, the other shards finish, and the run
    names the file.

    Args:
        url: where the file lies, without credentials.
        reason: what was found, with the position where it is known.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


class RunFailedError(DsirError):
    """The run cannot go on (bad records over budget, shards that failed): exit status 1."""


class WorkerLostError(RunFailedError):
    """Workers that held a piece of work kept dying; with other workers it may go well."""


class WorkCancelledError(DsirError):
    """Work was given up, since nobody waits for it any more; never shown to anybody."""


class ClusterLostError(RunFailedError):
    """The machines that do the work do not answer, or have gone: later they may be there again."""


class MixedVersionsError(RunFailedError):
    """Processes of one run have different versions of this package: what one wrote, another would misread."""
