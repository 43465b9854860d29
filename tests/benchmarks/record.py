"""The measured figures of README: several seeds and methods, each run with the command that its config.json shows.

    python tests/benchmarks/record.py patches --methods cd simclr --seeds 42 43 44
    python tests/benchmarks/record.py shapes --data shapes --methods cd simclr --seeds 42 43 44
    python tests/benchmarks/record.py tiny10 --data path/to/tiny10
    python tests/benchmarks/record.py cifar10-jpeg --data path/to/cifar10 --limit 10000

Writes figures/records/NAME.csv (a row a run, stage and target) and keeps the first run's figures, scores and settings
in figures/records/NAME/. Finished runs in runs/record-NAME-… are used again.
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

from cdlearn import train
from cdlearn.data import NAMES
from cdlearn.results.scoring import STAGES

RECORDS = Path(__file__).resolve().parents[2] / "figures" / "records"
KEPT = ("config.json", "scores.json", "metrics.csv", "losses.png", "heads.png", "embedding.png")


def rows(method: str, seed: int, run: Path) -> list[dict]:
    """The scores of a run: per target (class, attributes) and stage; per attribute the worst value's best head."""
    scores = json.loads((run / "scores.json").read_text())
    seconds = sum(float(row["seconds"]) for row in csv.DictReader((run / "metrics.csv").open()))
    base = {"method": method, "seed": seed, "training s": round(seconds, 1)}
    stages = [stage for stage in STAGES if stage in scores]
    found = [
        base | {"target": "class, held out", "stage": stage} | {k: values[k] for k in ("nmi", "ari", "acc", "knn")}
        for stage, values in scores.get("held out", {}).items()
    ]
    for stage in stages:
        targets = {name: by_stage[stage] for name, by_stage in scores.get("attributes", {}).items()}
        for target, values in {"class": scores[stage], **targets}.items():
            known = {k: values[k] for k in ("nmi", "ari", "acc", "knn") if k in values}
            found.append(base | {"target": target, "stage": stage} | known)
    for target in dict.fromkeys(row["attribute"] for row in scores.get("heads", [])):
        worst = min(row["auc"] for row in scores["heads"] if row["attribute"] == target)
        found.append(base | {"target": target, "stage": "best heads", "auc of the worst value": round(worst, 4)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--methods", nargs="+", default=["cd"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    asked, options = parser.parse_known_args()
    table, first = [], None
    for method in asked.methods:
        for seed in asked.seeds:
            run = Path("runs") / f"record-{asked.name}-{method}-s{seed}"
            if not (run / "embedding.png").exists():
                code = train.main(["--method", method, "--seed", str(seed), "--out", str(run), *options])
                if code:
                    raise SystemExit(code)
            first = first or run
            table += rows(method, seed, run)
    (RECORDS / asked.name).mkdir(parents=True, exist_ok=True)
    data = json.loads((first / "config.json").read_text())["config"]["data"]
    for file in KEPT:
        if data in NAMES or file != "heads.png":  # other people's photographs are not ours to keep
            shutil.copy(first / file, RECORDS / asked.name / file)
    described = RECORDS / asked.name / "config.json"
    if data not in NAMES:  # where the folder lay here is nobody's business
        described.write_text(described.read_text().replace(data, f"path/to/{Path(data).name}"))
    names = list(dict.fromkeys(key for row in table for key in row))
    with (RECORDS / f"{asked.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
