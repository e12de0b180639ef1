"""A criterion file to begin with: a small one that runs, under a name of one's own."""

import re
from pathlib import Path

from criteria import criteria
from suites.section import slug

from ..errors import BenchError, fault

TEMPLATE = Path(__file__).with_name("criterion_template.txt")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")


def write_criterion(name: str, out: Path | None = None) -> Path:
    """Write a runnable criterion of that name to `out`, by default `NAME.py` here. Raises
    BenchError for a name that is not fit or is taken, and a file that is there already."""
    if not _NAME.fullmatch(name):
        better = slug(name).replace("-", "_").replace(".", "_")
        hint = f", such as {better}" if _NAME.fullmatch(better) else ""
        raise BenchError(fault("criterion_name", name=name, hint=hint))
    for taken in criteria():
        if name in (taken.name, *taken.aliases):
            raise BenchError(fault("criterion_taken", name=name, summary=taken.summary))
    path = out or Path(f"{name}.py")
    title = "".join(part.capitalize() for part in name.split("_"))
    text = TEMPLATE.read_text(encoding="utf-8")
    text = text.replace("my_criterion.py", path.name)
    text = text.replace("my_criterion", name).replace("MyCriterion", title)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise BenchError(f"{path} exists and is left as it is; give another --out") from error
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror}") from error
    return path
