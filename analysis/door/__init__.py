"""What may a notebook be asked to do? Its parameters, answered in one sentence before anything is trained or written.

The door stands above the studies: it knows what each notebook will train, and nothing but notebooks imports it.
"""

from .parameters import ParameterError, check_parameters

__all__ = ["ParameterError", "check_parameters"]
