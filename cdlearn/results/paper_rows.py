"""What the paper's tables 2 to 10 compare: rows as changes of the settings, and the published values.

Tables 2 and 3 compare methods, 4 to 10 switch parts of CD off; 2 and 8 to 10 look at the backbone, 3 and 5 to 7 at the
output, 4 at both. Rows that the paper does not have stand below its own: controls, and seed 003's method.
"""

import csv
from pathlib import Path

from cdlearn.runtime.errors import UserError

TABLE_STAGES = {2: ("backbone",), 3: ("output",), 4: ("backbone", "output")}
TABLE_STAGES |= {5: ("output",), 6: ("output",), 7: ("output",), 8: ("backbone",), 9: ("backbone",), 10: ("backbone",)}
PIXELS, RANDOM = {"pixels": True}, {"random": True}  # stand for K-means on raw pixels and on an untrained network
# Table 4's last row is Table 5's first: it was run without schedule and clipping. (Our 50 steps of warm-up stay.)
PLAIN = dict(cosine=False, clip=0.0)
SCHEDULE = {"schedule+clip=off": PLAIN, "schedule+clip=on": {}}
HEADS = {"feature head=off": dict(method="simclr"), "feature head=on": {}}
ONE_VIEW = {"single-view augmentation": dict(both_views=False), "dual-view augmentation": {}}
OURS: dict[int, dict[str, dict]] = {  # table -> the name of a row in published.csv -> what it changes in Config
    2: {
        "K-means": PIXELS,
        **{name: dict(method=name.lower()) for name in ("AE", "DeCNN", "DAE", "VAE", "DCGAN", "CC")},
        "CD-128": dict(batch_size=128, heads=128, dim=128),
        "CD-256": dict(batch_size=256, heads=256, dim=256),
        "SimCLR": dict(method="simclr"),
        "Cluster centres": dict(method="centres"),
        "Random network": RANDOM,
        "DeCNN: never trained": {**RANDOM, "method": "decnn"},  # its sparse coding alone may do what it does
    },
    4: {
        "NE=off BN=off": dict(alpha=0.0, head_batch_norm=False, **PLAIN),
        "row 2 (NE=on BN=off)": dict(head_batch_norm=False, **PLAIN),
        "row 3 (NE=off BN=on)": dict(alpha=0.0, **PLAIN),
        "NE=on BN=on": PLAIN,
    },
    **{5: SCHEDULE, 8: SCHEDULE, 6: HEADS, 9: HEADS, 7: ONE_VIEW, 10: ONE_VIEW},
}  # fmt: skip
CODES = ("AE", "DeCNN", "DAE", "VAE", "DCGAN")  # K-means on what each calls its features, whatever the table's stage
OURS[3] = {name: dict(method=name.lower()) for name in ("JULE", "DEC", "DAC", "DCCM", "PICA")}
OURS[3] |= {name: OURS[2][name] for name in ("CC", "CD-128", "CD-256", "SimCLR", "Cluster centres")}


def published(table: int) -> dict[tuple[str, str], dict]:
    """(row, stage) -> data set -> metric -> (value, std or None), in the paper's order.

    Raises:
        UserError: for a table the paper does not have.
    """
    if table not in TABLE_STAGES:
        raise UserError(f"there is no table {table}; the paper's comparisons are tables 2 to 10")
    found: dict[tuple[str, str], dict] = {}
    with Path(__file__).with_name("published.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if int(line["table"]) == table:
                stage = "output" if line["stage"] == "final output" else line["stage"]
                of_row = found.setdefault((line["method"], stage), {}).setdefault(line["dataset"], {})
                of_row[line["metric"].lower()] = (float(line["value"]), float(line["std"]) if line["std"] else None)
    return found
