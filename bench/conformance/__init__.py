"""Does a criterion keep its promises? Tiny networks of every family, and one that has learned."""

from .checks import CHECKS
from .finding import Finding, Verdict, fails
from .networks import FAMILIES
from .trained import check, check_on
