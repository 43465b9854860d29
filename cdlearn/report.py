"""``python -m cdlearn.report RUN [--data FOLDER] [--out FILE]``: what a run learned of a folder, on one page.

``python -m cdlearn.report --features FILE --data FOLDER`` shows the features of any other network likewise.
"""

from cdlearn import commands

if __name__ == "__main__":
    commands.answer_early(commands.report)

import argparse
import contextlib
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from cdlearn.analysis import Analysis, analyse, analyse_features, export_table, given_features
from cdlearn.pages.build import build
from cdlearn.pages.contents import TIERS, Contents
from cdlearn.results.run_folder import folder_of, make_folder
from cdlearn.runtime.commandline import guarded
from cdlearn.runtime.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return guarded(lambda: _report(sys.argv[1:] if arguments is None else arguments))


def _report(arguments: list[str]) -> None:
    began = time.monotonic()
    asked = commands.report().parse_args(arguments)
    check_asked(asked)
    out, kept = places(asked)
    if asked.out or out.parent.is_dir():
        check_out(out)
    try:
        found = looked_at(asked, kept)
        if asked.link:
            found = replace(found, contents=replace(found.contents, link=link(found.folder, out)))
        with saving(out):
            page = build(found.contents, out, progress=sys.stderr.isatty())
            tables = export_table.write(found, out.with_name(f"{out.stem}-images"))
            if asked.label_studio is not None:
                tasks = out.with_name(f"{out.stem}-label-studio.csv")
                tables.append(export_table.label_studio(found, tasks, asked.label_studio))
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from what is kept in {kept}", file=sys.stderr)
        raise
    for line in summary(found.contents, time.monotonic() - began):
        print(line)
    print("\n".join(str(path) for path in (page, *tables)))
    if not any(path.suffix == ".parquet" for path in tables):
        print("the table comes as Parquet, too, once pyarrow is installed: pip install pyarrow")


def check_asked(asked: argparse.Namespace) -> None:
    """Raises UserError unless there is a run, or features with the images that they are of, and nothing else."""
    if asked.features is None:
        if asked.run is None:
            raise UserError("RUN is missing: give the folder of a run, or --features FILE --data FOLDER; see --help")
        asked.run = folder_of(asked.run)
        return
    if asked.run is not None:
        raise UserError(f"--features replaces a run; omit {asked.run}")
    if asked.data is None:
        raise UserError("--features needs the images that the features are of; pass --data FOLDER")
    for name in ("stage", "limit"):
        if getattr(asked, name) is not None:
            raise UserError(f"--features are those of all images, from one stage; omit --{name}")


def places(asked: argparse.Namespace) -> tuple[Path, Path]:
    """Where the page goes, and where finished parts are kept."""
    if asked.features is None:
        return asked.out or asked.run / "report.html", asked.run / "report-cache"
    beside = asked.features.with_name(f"{asked.features.stem}-report")
    return asked.out or beside.with_name(f"{beside.name}.html"), beside.with_name(f"{beside.name}-cache")


def looked_at(asked: argparse.Namespace, kept: Path) -> Analysis:
    """The analysis of a run, or of given features."""
    progress = sys.stderr.isatty()
    if asked.features is None:
        stage = asked.stage or commands.STAGES[0]
        return analyse(asked.run, asked.data, asked.limit, stage, asked.device, progress, since=asked.since)
    features, files = given_features.read(asked.features)
    given = dict(progress=progress, cache=kept, since=asked.since, files=files)
    return analyse_features(features, asked.data, asked.features.name, **given)


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
    """Add a fix to the error for a file that cannot be written; an earlier report stays whole."""
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
