"""The exception tree: one line for a person, one exit code for a program.

Third-party errors are mapped to these at the boundary where they appear. The text is always
`where: expected X, got Y; what to do`.
"""


class EdgetrackError(Exception):
    """Base of every error that a user can cause or mend.

    Args:
        where: file, line, path, camera or topic that it is about.
        problem: what was expected and what was there instead.
        hint: what to do about it; may be empty.
    """

    exit_code = 1

    def __init__(self, where: str, problem: str, hint: str = "") -> None:
        self.where = where
        self.problem = problem
        self.hint = hint
        super().__init__(f"{where}: {problem}; {hint}" if hint else f"{where}: {problem}")

    def __reduce__(self) -> tuple[type["EdgetrackError"], tuple[str, str, str]]:
        return type(self), (self.where, self.problem, self.hint)


class DataError(EdgetrackError):
    """A file or payload that does not hold what its place asks for (EX_DATAERR)."""

    exit_code = 65


class SourceError(EdgetrackError):
    """A camera, stream or video that cannot be opened or read (EX_NOINPUT)."""

    exit_code = 66


class BrokerError(EdgetrackError):
    """The MQTT broker refuses or cannot be reached (EX_UNAVAILABLE)."""

    exit_code = 69


class ModelError(EdgetrackError):
    """A model file, its spec or its runtime does not fit (EX_SOFTWARE)."""

    exit_code = 70


class StorageError(EdgetrackError):
    """The outbox or another file of ours cannot be written (EX_IOERR)."""

    exit_code = 74


class ConfigError(EdgetrackError):
    """A configuration that cannot be used (EX_CONFIG); systemd does not restart on it.

    Args:
        faults: one line per fault, all of them, in the order of the file.
    """

    exit_code = 78

    def __init__(self, where: str, problem: str, hint: str = "", faults: tuple[str, ...] = ()) -> None:
        super().__init__(where, problem, hint)
        self.faults = faults or (str(self),)
