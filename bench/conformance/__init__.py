"""Does a criterion keep its promises? Tiny networks of every family, and one that has learned.

from bench.conformance import check
for finding in check("taylor"):
    print(finding.check, finding.family, finding.verdict, finding.reason)
"""

from .check import check, check_on, fails
from .checks import CHECKS
from .finding import Finding, Verdict
from .networks import FAMILIES

__all__ = ["CHECKS", "FAMILIES", "Finding", "Verdict", "check", "check_on", "fails"]
