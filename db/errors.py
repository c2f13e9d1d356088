"""Everything that `db` raises on purpose.

DatabaseError
├── DatabaseUnavailable  no connection; worth another try
├── SchemaOutdated       migrations are missing
├── SchemaNewer          the database was migrated by a later release
├── NameTaken            a view of this release would replace something of the plant's
├── NoChampion           no model is promoted yet
├── UnknownModel         no model of that version
├── UnknownRun           no scoring run of that id
├── UnknownAlert         no alert of that number
├── WrongAlertState      what is asked does not fit how far the alert's life has gone
├── NothingToRollBack    no earlier champion to go back to
├── UnknownImages        labels for images that are not known
├── NothingToArchive     no such month holds images
├── MonthChanged         rows came in while a month was archived
├── NotArchived          that month lies in the database, not in object storage
├── BackupFailed         Postgres' own programs could not write or read a backup
├── RestoreRefused       the database is not empty, or the file is no backup
├── RetrainingLost       another retraining took this one for dead
└── EmbeddedFailed       the embedded Postgres did not start
"""


class DatabaseError(Exception):
    """The root of this package's errors. The message says what happened, to which thing, and what to do."""


class DatabaseUnavailable(DatabaseError):
    """No connection to the database; the same request may succeed later."""


class SchemaOutdated(DatabaseError):
    """The database lacks migrations that this release needs."""


class SchemaNewer(DatabaseError):
    """The database holds migrations that this release does not know."""


class NameTaken(DatabaseError):
    """The plant has a view or function of its own where this release makes one."""


class NoChampion(DatabaseError):
    """No model has been promoted."""


class UnknownModel(DatabaseError):
    """No model of that version is registered."""


class UnknownRun(DatabaseError):
    """No scoring run has that id: most likely this is another database than the run's."""


class UnknownAlert(DatabaseError):
    """No alert has that number."""


class WrongAlertState(DatabaseError):
    """An alert that is resolved cannot be acknowledged, and the like."""


class NothingToRollBack(DatabaseError):
    """There is no champion before the present one."""


class UnknownImages(DatabaseError):
    """Labels name images that the database does not know; `uris` are their addresses."""

    def __init__(self, message: str, uris: tuple[str, ...]) -> None:
        super().__init__(message)
        self.uris = uris


class RetrainingLost(DatabaseError):
    """A retraining lost its lock, and another one began; it may not decide anything any more."""


class NothingToArchive(DatabaseError):
    """No month before the given one holds images."""


class MonthChanged(DatabaseError):
    """Rows came into a month while it was archived; nothing was taken away."""


class NotArchived(DatabaseError):
    """A month that should come back is not archived."""


class EmbeddedFailed(DatabaseError):
    """The embedded Postgres did not start."""


class BackupFailed(DatabaseError):
    """Postgres' own programs could not write or read a backup."""


class RestoreRefused(DatabaseError):
    """The database is not empty, or the file is no backup; nothing was changed."""
