"""Which part of the method matters, and how certain is that? Every record of seeds in one figure and one table.

    python tests/benchmarks/evidence.py      # writes figures/evidence.png and evidence.md, and trains nothing

It reads records/regimes.csv, regimes-asked-again.csv and modified-heads.csv (short runs), long-runs-NAME.csv,
curves-NAME.csv and curves-ends.csv (long runs). Runs that share a seed are compared pair by pair
(cdlearn/results/compare_seeds.py). The families of Holm's correction are those of regimes.md and modified-heads.md:
what was asked of one set of images at one length, in one score; the question that was asked again with new seeds is a
family of its own. With one seed there is no verdict.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import curves
import modified_heads
import paired_claims
import regimes
from budget import RECORDS, recorded
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdlearn.results.compare_seeds import (
    BETTER,
    LEVEL,
    MISSING,
    NOT_SHOWN,
    ONE_SEED,
    SCORES,
    WORSE,
    Difference,
    holm,
    shown_p,
)
from cdlearn.results.plots import COLOURS, figure, grid

FIGURES = RECORDS.parent
SHORT, LONG = "short", "long"
ARMS = {  # method of a long run -> its name among the short ones
    "cd, alpha 1": "CD",
    "simclr": "SimCLR",
    "cd, alpha 0": "no entropy",
    "cd, alpha 1, decorrelated heads": "mended",
    "cd, alpha 1, multi-crop": "multi-crop",
}
STAGES = {"backbone": "h", "output": "y", "untrained heads": "never trained"}
FAMILIES = {  # what Holm's correction covers, for each set of images, length and score
    "published claims": regimes.CLAIMS,
    "decorrelated heads": modified_heads.CLAIMS,
    "multi-crop": (("multi-crop", "multi-crop", "CD"),),
}
AGAIN = "second view, asked again with new seeds"
PUBLISHED = {  # claim of regimes.CLAIMS -> the part of the method, the paper's tables; the five published claims
    "6, 9: heads over z": ("heads over SimCLR's z", "Tables 6, 9"),
    "4: with entropy": ("entropy", "Table 4"),
    "4: with BatchNorm": ("BatchNorm in the heads", "Table 4"),
    "7, 10: both views augmented": ("second view augmented", "Tables 7, 10"),
    "5, 8: schedule and clipping": ("schedule and clipping", "Tables 5, 8"),
}
PARTS = {claim: part for claim, (part, _) in PUBLISHED.items()} | {
    "control: trained heads over untrained": "heads over untrained heads",
    "4: with both": "entropy and BatchNorm",
    "asked again": AGAIN,
    "decorrelated heads over published ones": "decorrelated over published heads",
    "decorrelated heads over SimCLR": "decorrelated heads over SimCLR's z",
    "decorrelated heads over untrained heads on the same z": "decorrelated over untrained heads",
    "multi-crop": "multi-crop over two views",
}
FIRST = (
    "heads over SimCLR's z",
    "heads over untrained heads",
    "entropy",
    "BatchNorm in the heads",
    "entropy and BatchNorm",
)
ORDER = list(dict.fromkeys([*FIRST, "second view augmented", AGAIN, *PARTS.values()]))
IMAGES = {
    "patches": "patches (eight photographs in 4,096 parts)",
    "shapes": "swatches (drawn)",
    "motifs": "motifs (drawn, independent attributes)",
    "tiny10": "tiny10 (5,000 photographs)",
    "cifar10": "CIFAR-10 (JPEG copy)",
}
WORDS = {BETTER: "appears", WORSE: "reversed", NOT_SHOWN: "does not appear", ONE_SEED: ONE_SEED, MISSING: MISSING}
LOOKS = {SHORT: (COLOURS[0], "o", -0.17), LONG: (COLOURS[4], "D", 0.17)}  # colour, mark, offset in its row
ARROWS = {BETTER: "▲", WORSE: "▼"}

Found = dict[tuple[str, str, str, str], dict[str, Difference]]  # (images, length, part, stage) -> score -> difference


def long_rows(home: Path) -> list[dict]:
    """The ends of the long runs, as rows of regimes.csv."""
    rows: dict[tuple, dict] = {}
    for name in curves.DATA:
        for end in curves.last(home, name).to_dict("records"):
            arm, stage = ARMS.get(end["method"]), STAGES.get(end["stage"])
            if arm and stage:
                row = rows.setdefault((name, arm, int(end["seed"])), {"regime": name, "arm": arm, "seed": end["seed"]})
                row |= {f"{score} {stage}": end[score] for score in SCORES if end[score] == end[score]}
    return list(rows.values())


def evidence(home: Path = FIGURES) -> Found:
    """Every comparison that the records under ``home`` allow, with at least one pair."""
    records = home / "records"
    short = recorded(records / "regimes.csv") + recorded(records / "modified-heads.csv")
    found: Found = {}
    for length, rows in ((SHORT, short), (LONG, long_rows(home))):
        for asked, claims in FAMILIES.items():
            for (images, claim, stage), each in paired_claims.comparisons(rows, claims, asked).items():
                found[images, length, PARTS[claim], stage] = each
    again = recorded(records / "regimes-asked-again.csv")
    question = [("asked again", "CD", "one view")]
    for (images, _, stage), each in paired_claims.comparisons(again, question, AGAIN, stages="h").items():
        found[images, SHORT, AGAIN, stage] = each
    return found


def parts_of(found: Found, images: str) -> list[str]:
    """The parts of the method that were measured on some images, in the order of the figure."""
    return [part for part in ORDER if any((images, part) == (of, p) for of, _, p, _ in found)]


def chart(found: Found) -> Figure:
    """A row of panels for every set of images: the NMI that each part gains on y and on h, short and long run."""
    shown = [images for images in IMAGES if parts_of(found, images)]
    sizes = [len(parts_of(found, images)) + 1.3 for images in shown]  # in rows
    made, axes = figure(2, 1, 5.2, 0.36 * sum(sizes) + 0.8)
    made.clear()
    axes = made.subplots(len(shown), 2, squeeze=False, height_ratios=sizes, sharex="row")
    for images, pair in zip(shown, axes, strict=True):
        parts = parts_of(found, images)
        for axis, stage in zip(pair, "yh", strict=True):
            panel(axis, found, images, stage, parts)
            axis.set_title(f"{IMAGES[images]}: {'output y' if stage == 'y' else 'backbone h'}", fontsize=9, loc="left")
            axis.set_yticks(range(len(parts)), parts if stage == "y" else [""] * len(parts), fontsize=8)
            axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("NMI gained, 95% interval", fontsize=9)
    for length, (colour, mark, _) in LOOKS.items():
        axes[0, 0].plot([], [], mark, color=colour, label=f"{length} run")
    grey = dict(linestyle="none", color="0.3")
    axes[0, 0].plot([], [], "s", label="filled, and named at the right: Holm's p < 0.05", **grey)
    axes[0, 0].plot([], [], "s", markerfacecolor="white", label="not shown", **grey)
    axes[0, 0].plot([], [], "x", label="one seed: no verdict", **grey)
    style = dict(loc="outside lower center", ncols=3, fontsize=8, title_fontsize=8, frameon=False)
    unmeasured = [part for part in ORDER if not any(part == of for _, _, of, _ in found)]
    title = f"not yet measured anywhere: {', '.join(unmeasured)}" if unmeasured else None
    made.legend(*axes[0, 0].get_legend_handles_labels(), title=title, **style)
    return made


def panel(axis: Axes, found: Found, images: str, stage: str, parts: list[str]) -> None:
    """The gaps of one stage on one set of images; at the right, in which scores they are shown."""
    axis.axvline(0, color="0.3", linewidth=1)
    for row, part in enumerate(parts):
        for length, (colour, mark, offset) in LOOKS.items():
            each = found.get((images, length, part, stage))
            if each is None or not each["NMI"].pairs:
                continue
            gap, at = each["NMI"], row + offset
            if gap.pairs == 1:
                axis.plot(gap.gap, at, "x", color=colour, markersize=6)
                continue
            if gap.low == gap.low:
                axis.plot([gap.low, gap.high], [at, at], color=colour, linewidth=1.6)
            face = colour if gap.verdict in ARROWS else "white"
            axis.plot(gap.gap, at, mark, markerfacecolor=face, markeredgecolor=colour, markersize=6)
            sure = "  ".join(f"{name}{ARROWS[d.verdict]}" for name, d in each.items() if d.verdict in ARROWS)
            beside = dict(xycoords=("axes fraction", "data"), va="center", fontsize=7, color=colour)
            axis.annotate(sure, (1.01, at), annotation_clip=False, **beside)
    axis.set_ylim(len(parts) - 0.4, -0.6)
    axis.tick_params(labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    grid(axis, "x")


def in_which(each: dict[str, Difference], scores: Iterable[str] = tuple(SCORES.values())) -> str:
    """appears / does not appear / reversed, with the scores of each: "reversed in NMI; does not appear in kNN"."""
    by_word: dict[str, list[str]] = {}
    for name in scores:
        by_word.setdefault(WORDS[each[name].verdict], []).append(name)
    if list(by_word) == [MISSING]:
        return MISSING
    seen = {word: names for word, names in by_word.items() if word != MISSING}
    return "; ".join(word if word == ONE_SEED else f"{word} in {', '.join(names)}" for word, names in seen.items())


def line(key: tuple[str, str, str, str], each: dict[str, Difference]) -> str:
    """A line of a table."""
    images, length, part, stage = key
    least = each["NMI"].smallest
    gaps = [str(each[name]) if each[name].pairs else "" for name in SCORES.values()]
    cells = [part, named(images), length, stage, str(max(d.pairs for d in each.values())), *gaps, in_which(each)]
    return f"| {' | '.join([*cells, f'{least:.3f}' if least == least else ''])} |"


def named(images: str) -> str:
    """The short name of a set of images in the tables."""
    return {"shapes": "swatches", "cifar10": "CIFAR-10"}.get(images, images)


def table(found: Found, parts: Iterable[str]) -> list[str]:
    """A line for every comparison of these parts."""
    head = ["part", "images", "run", "scored on", "pairs", *SCORES.values(), "verdict", "smallest effect in NMI"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    places = [(images, length, stage) for images in IMAGES for length in (SHORT, LONG) for stage in "yh"]
    for part in parts:
        keys = [(images, length, part, stage) for images, length, stage in places]
        lines += [line(key, found[key]) for key in keys if key in found]
    return lines


def claims(found: Found) -> list[str]:
    """The five published claims, a line each: where each appears, where it is reversed, where it is not shown."""
    verdicts = (BETTER, WORSE, NOT_SHOWN, ONE_SEED)
    lines = [f"| published claim | {' | '.join(WORDS[verdict] for verdict in verdicts)} |", "|---" * 5 + "|"]
    for part, where in PUBLISHED.values():
        places: dict[str, list[str]] = {verdict: [] for verdict in verdicts}
        for (images, length, of, stage), each in found.items():
            same = of == part or (of == AGAIN and part == PARTS["7, 10: both views augmented"])
            for verdict in verdicts if same else ():
                scores = {name: d for name, d in each.items() if d.verdict == verdict}
                if scores:
                    gaps = [f"{name} {d}" if verdict in ARROWS else name for name, d in scores.items()]
                    where_ = f"{named(images)}, {length}, {stage}" + ", new seeds" * (of == AGAIN)
                    places[verdict].append(f"{where_}: {', '.join(gaps)}")
        row = ["<br>".join(of_verdict) or "nowhere" for of_verdict in places.values()]
        lines.append(f"| {part} ({where}) | {' | '.join(row)} |")
    return lines


def fragile(found: Found) -> list[str]:
    """Verdicts that would fall if a family covered all scores together instead of one."""
    families: dict[tuple, list] = {}
    for key, each in found.items():
        for score, d in each.items():
            if d.pairs > 1:
                families.setdefault((key[1], d.family.replace(f", {score}:", ":")), []).append((key, score, d))
    lines = []
    for members in families.values():
        for (key, score, d), p in zip(members, holm([d.p for *_, d in members]), strict=True):
            if d.holm < LEVEL <= p:
                where = f"{key[2]}, {named(key[0])}, {key[1]} run, {key[3]}, {score}"
                lines.append(f"- {where}: Holm's p {shown_p(d.holm)}, over all scores {shown_p(p)}.")
    return lines or ["- none."]


def seeds_and_families(found: Found) -> list[str]:
    """What each correction covers, and what is missing."""
    tests = {(length, d.family): d.tests for (_, length, *_), each in found.items() for d in each.values() if d.tests}
    left = sum(max(d.left_out for d in each.values() if d.pairs) for each in found.values())
    missing = []
    for images, length in dict.fromkeys(key[:2] for key in found):
        absent = [part for part in ORDER if not any((images, length, part) == key[:3] for key in found)]
        missing.append(f"- {IMAGES[images]}, {length} run: {', '.join(absent)}.")
    return [
        "## Families of Holm's correction", "",
        *(f"- {length} runs, {family}: {n} test{'s' * (n > 1)}." for (length, family), n in tests.items()), "",
        f"Seeds that only one of two arms has: {left}, counted per comparison; they are left out.", "",
        "## Verdicts that depend on the family", "",
        "One family covers one score. If it covered all scores together, these would not be shown:", "",
        *fragile(found), "",
        "## Not yet measured", "", *missing,
    ]  # fmt: skip


ABOUT = """Made from the records by `python tests/benchmarks/evidence.py`. Runs that share a training seed are compared
pair by pair: mean difference [95% interval of this comparison alone], p of the t test for pairs after Holm's
correction. A claim appears, or is reversed, in the scores whose corrected p is below 0.05. "Does not appear" says only
that so many pairs did not show it: the smallest effect is what they would find with 80% power. Short runs: about
100,000 views (tiny10: 120,000); long runs: 5 million, at their end."""


def markdown(found: Found) -> str:
    """evidence.md."""
    published = [part for part, _ in PUBLISHED.values()]
    text = ["# Which part of the method matters?", "", ABOUT, "", "![What each part gains](evidence.png)", ""]
    text += ["## The five published claims", "", *claims(found), "", "## Every comparison behind them", ""]
    text += [*table(found, published), "", "## Controls, and beyond the paper", ""]
    text += [*table(found, [part for part in ORDER if part not in published]), "", *seeds_and_families(found)]
    return "\n".join(text) + "\n"


def abouts(found: Found) -> dict[str, str]:
    """The verdict of every comparison, by the name that a claim of a notebook gives it with ``about``."""
    return {
        f"{part}, {named(images)}, {length} run, {stage}, {score}": d.verdict
        for (images, length, part, stage), each in found.items()
        for score, d in each.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=FIGURES, help="the folder with records/, where the files go")
    home = parser.parse_args().home
    found = evidence(home)
    chart(found).savefig(home / "evidence.png")
    (home / "evidence.md").write_text(markdown(found))
    print("\n".join(claims(found)))


if __name__ == "__main__":
    main()
