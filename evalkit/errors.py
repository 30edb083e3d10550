"""What can go wrong, as types. A message says where, what was found, what was expected and what to do.

    EvalkitError
    ├── ExperimentError      the experiment file, or a value given on the command line
    ├── PromptError          the prompt set
    ├── RecordError          a results folder and what stands in it
    ├── EndpointError        the endpoint cannot be used at all
    │   └── AuthError        it refuses the key, or there is none
    └── MissingExtraError    a feature whose packages are not installed

A request that fails while others succeed is no error but a value, `evalkit.store.records.Failure`. Messages never hold a secret.
"""

from __future__ import annotations


class EvalkitError(Exception):
    """Any error that evalkit raises on purpose; its text is meant for the user."""


class ExperimentError(EvalkitError):
    """The experiment cannot be run as written."""


class PromptError(EvalkitError):
    """The prompt set cannot be used as written."""


class RecordError(EvalkitError):
    """A results folder cannot be read or written."""


class EndpointError(EvalkitError):
    """The endpoint refuses the connection, the model or every request."""


class AuthError(EndpointError):
    """The endpoint refuses the key, or no key is set."""


class MissingExtraError(EvalkitError):
    """A feature needs packages that are not installed."""
