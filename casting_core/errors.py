"""Everything that `casting_core` raises on purpose.

CastingError
├── InvalidInput            a value given by a person or a file cannot be used
│   ├── InvalidLayout       a key layout that cannot be listed or parsed
│   ├── InvalidDataset      a folder or manifest that cannot be trained on
│   ├── InvalidChannel      a channel for alerts that is written wrongly
├── ChannelFailed           a channel refused a message or did not answer; worth another try
├── StorageError
│   ├── StorageUnavailable  storage did not answer, or answered 5xx; worth another try
│   ├── StorageDenied       credentials missing, wrong, or without the right
│   ├── BucketMissing       the bucket or root folder does not exist
└── ModelError
    ├── ArtifactMissing     no artifact at that place
    ├── ArtifactCorrupt     bytes differ from the registered ones, or do not parse
    ├── CardIncomplete      the card lacks what serving needs
    ├── UnknownArchitecture the network named is not a torchvision classifier
    └── EngineMissing       the library that the model was evaluated in is not installed
"""


class CastingError(Exception):
    """The root of this package's errors. The message says what happened, to which thing, and what to do."""


class InvalidInput(CastingError, ValueError):
    """A value that a person or a file gave cannot be used."""


class InvalidLayout(InvalidInput):
    """A key layout cannot be listed or parsed."""


class InvalidDataset(InvalidInput):
    """A data set cannot be trained on."""


class InvalidChannel(InvalidInput):
    """A channel for alerts is written in a way that cannot be used. The message never quotes its URL."""


class ChannelFailed(CastingError):
    """A channel refused a message or did not answer in time; the same message may arrive later."""


class StorageError(CastingError):
    """Object storage did not do what was asked."""


class StorageUnavailable(StorageError):
    """Storage did not answer, or said that it cannot just now; the same request may succeed later."""


class StorageDenied(StorageError):
    """The credentials are missing, wrong, or lack the right."""


class BucketMissing(StorageError):
    """The bucket or root folder does not exist."""


class ModelError(CastingError):
    """A model artifact cannot be served."""


class ArtifactMissing(ModelError):
    """There is no artifact at the place named."""


class ArtifactCorrupt(ModelError):
    """The artifact's bytes differ from the registered ones, or do not parse."""


class CardIncomplete(ModelError):
    """The card lacks something that serving needs."""


class UnknownArchitecture(ModelError):
    """The card names a network that torchvision does not have as a classifier."""


class EngineMissing(ModelError):
    """The library that a model was evaluated in, and would be served in, is not installed."""
