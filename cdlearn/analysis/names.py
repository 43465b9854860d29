"""Names that a reader gave to heads and clusters: RUN/names.json, saved by the report's page.

{"heads": {"12": "reddish"}, "clusters": {"4": {"0": "ships"}, "density": {"2": "portraits"}}}: heads by their numbers
in the network, clusters by their numbers under their k, or under "density" for those of HDBSCAN.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from cdlearn.runtime.errors import UserError

FILE = "names.json"


def read(run: Path) -> dict:
    """{"heads": {number: name}, "clusters": {k or "density": {number: name}}}; both empty where there is no file.

    A page from before names of clusters saved {"12": "reddish"} alone; that is read, too.

    Raises:
        UserError: naming the file, where it is no such file.
    """
    path = Path(run) / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not {"heads", "clusters"} & set(found):
            found = {"heads": found}
        clusters = {k if k == "density" else int(k): numbered(of) for k, of in found.get("clusters", {}).items()}
        return {"heads": numbered(found.get("heads", {})), "clusters": clusters}
    except FileNotFoundError:
        return {"heads": {}, "clusters": {}}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} holds no names of heads and clusters ({error}); save it again from the report's page, or remove it"
        ) from error


def numbered(names: dict) -> dict[int, str]:
    """Number -> name, blanks around and empty names left out. Raises ValueError for anything else."""
    wrong = [name for name in names.values() if not isinstance(name, str)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no name")
    return {int(number): name.strip() for number, name in names.items() if name.strip()}


def columns(heads: Sequence[int], names: dict[int, str], taken: Collection[str] = ()) -> list[str]:
    """The columns of heads: by their names, else ``head_12``; so, too, where a name is given twice or is ``taken``."""
    given = Counter(names.get(head) for head in heads)
    plain = {f"head_{head}" for head in heads}
    return [
        name if (name := names.get(head)) and given[name] == 1 and name not in taken and name not in plain
        else f"head_{head}"
        for head in heads
    ]  # fmt: skip
