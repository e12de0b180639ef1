"""Where jobs run. An executor runs what it is given; what is done or pending it does not know."""

from .base import Executor, check_executor, make_executor
