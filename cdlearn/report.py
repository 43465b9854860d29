"""``python -m cdlearn.report RUN [--data FOLDER] [--out FILE]``: what a run learned of a folder, on one page."""

import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from cdlearn.analysis import STAGES, analyse, export_table
from cdlearn.pages.build import build
from cdlearn.pages.contents import TIERS, Contents
from cdlearn.results.run_folder import folder_of, make_folder
from cdlearn.runtime.commandline import Parser, folder, guarded
from cdlearn.runtime.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _report(sys.argv[1:] if arguments is None else arguments))


def _report(arguments: list[str]) -> None:
    began = time.monotonic()
    made = Parser(
        prog="python -m cdlearn.report",
        description="One page on all images of a folder, as a run sees them: map, heads, clusters, near-duplicates.",
        allow_abbrev=False,
    )
    made.add_argument("run", type=folder, metavar="RUN", help="folder of the run")
    made.add_argument("--data", help="other images than the run's: a folder or a name")
    made.add_argument("--limit", type=int, help="this many of them, drawn with the run's seed")
    made.add_argument("--out", type=Path, metavar="FILE", help="the page; RUN/report.html if not given")
    made.add_argument("--stage", default=STAGES[0], help=f"features to measure distances between: {', '.join(STAGES)}")
    made.add_argument("--link", action="store_true", help="let the page link to the original files, where they are now")
    made.add_argument("--since", metavar="RUN", help="a run with an earlier report: say what is new, keep its clusters")
    made.add_argument("--label-studio", metavar="PREFIX", help="also write a CSV of tasks; PREFIX + file = its address")
    made.add_argument("--device", default="", help="cpu or cuda")
    asked = made.parse_args(arguments)
    asked.run = folder_of(asked.run)
    out, progress = asked.out or asked.run / "report.html", sys.stderr.isatty()
    if asked.out or asked.run.is_dir():
        check_out(out)
    try:
        found = analyse(asked.run, asked.data, asked.limit, asked.stage, asked.device, progress, since=asked.since)
        if asked.link:
            found = replace(found, contents=replace(found.contents, link=link(found.folder, out)))
        with saving(out):
            page = build(found.contents, out, progress=progress)
            tables = export_table.write(found, out.with_name(f"{out.stem}-images"))
            if asked.label_studio is not None:
                tasks = out.with_name(f"{out.stem}-label-studio.csv")
                tables.append(export_table.label_studio(found, tasks, asked.label_studio))
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from what is kept in {asked.run / 'report-cache'}", file=sys.stderr)
        raise
    for line in summary(found.contents, time.monotonic() - began):
        print(line)
    print("\n".join(str(path) for path in (page, *tables)))
    if not any(path.suffix == ".parquet" for path in tables):
        print("the table comes as Parquet, too, once pyarrow is installed: pip install pyarrow")


def link(folder: Path | None, out: Path) -> str:
    """The address of the originals' folder as the page at ``out`` has to write it, with a slash at its end.

    Raises:
        UserError: for a named data set, and where no relative way leads there (another drive).
    """
    if folder is None:
        raise UserError("--link needs a folder of images; a named data set has no files to link to")
    try:
        way = os.path.relpath(folder.resolve(), out.parent.resolve())
    except ValueError as error:
        raise UserError(f"--link: no relative way leads from {out.parent} to {folder}; choose another --out") from error
    return quote(Path(way).as_posix(), safe="/", errors="surrogateescape") + "/"


def check_out(out: Path) -> None:
    """Find out before an hour of work that the page cannot be written. Raises UserError naming the path."""
    if out.is_dir():
        raise UserError(f"{out} is a folder; --out takes the name of the page, such as {out / 'report.html'}")
    make_folder(out.parent)


@contextlib.contextmanager
def saving(out: Path):
    """Say of a file that cannot be written what helps a report; what is there from before is whole."""
    try:
        yield
    except UserError as error:
        cause = error
        while isinstance(cause, UserError):
            cause = cause.__cause__
        if not isinstance(cause, OSError):
            raise
        reason = cause.strerror or cause
        raise UserError(
            f"cannot write {out} ({reason}); nothing half-written is left; free some space or choose another --out, "
            "then run the same command again: it goes on from what is finished"
        ) from error


def summary(found: Contents, seconds: float) -> list[str]:
    """A few lines for the terminal; the page has the rest."""
    ledger, few = found.ledger, [head["number"] for head in found.heads[:8]]
    parts = [f"{ledger['used']:,} used"]
    parts += [f"{count:,} ignored ({ending})" for ending, count in ledger.get("ignored", {}).items()]
    parts += [f"{len(ledger[name]):,} {name}" for name in ("unreadable", "repeated") if ledger.get(name)]
    tiers = [f"{sum(group['tier'] == tier for group in found.duplicates)} {tier}" for tier in TIERS]
    return [
        f"{ledger['found']:,} files found: {', '.join(parts)}",
        f"heads to look at first: {', '.join(map(str, few)) or 'none'}",
        f"clusters: {found.advice}",
        f"near-duplicates, in groups: {', '.join(tiers)}",
        f"strangest: {', '.join(f'{found.files[i]} ({reason})' for i, _, reason in found.outliers[:3]) or 'none'}",
        *[f"{name}: {says}" for name, says in found.tests.items()],
        *([found.since["says"]] if found.since else []),
        f"made in {seconds:.0f} s",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
