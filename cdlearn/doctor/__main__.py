"""What this machine can do, what would stop a run here and how to fix it: ``python -m cdlearn.doctor``."""

import argparse
from collections.abc import Iterator

from cdlearn.doctor import rules


def speed() -> Iterator[tuple]:
    from cdlearn.doctor import pace  # it imports torch, which may be broken

    yield from pace.estimates()


RULES = (rules.packages, rules.memory, rules.folders, rules.kernel, rules.devices, rules.data, speed)


def examine(with_probe: bool = True) -> Iterator[tuple]:
    """Every finding, as soon as it is made."""
    troubled: list[str] = []
    for rule in RULES if with_probe else RULES[:-1]:
        if ("packages" in troubled and rule in RULES[-3:]) or (troubled and rule is speed):  # these need torch
            yield "note", f"{rule.__name__}: not looked at", f"fix the {troubled[0]} first"
            continue
        try:
            for finding in rule():
                troubled += [rule.__name__] * (finding[0] == "trouble")
                yield finding
        except Exception as error:  # a doctor must not fall ill: what it could not see is a finding
            fix = [f"pip install {error.name}"] if isinstance(error, ModuleNotFoundError) else []
            troubled += ["packages"] * (rule is rules.packages)  # without its answer the others cannot be trusted
            what = f"{rule.__name__}: {type(error).__name__}: {error}".partition("\n")[0]
            yield "trouble" if rule is rules.packages else "note", what, *fix


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 1 where there is trouble, else 0."""
    parser = argparse.ArgumentParser("python -m cdlearn.doctor", description=__doc__.partition(":")[0])
    parser.add_argument("--no-probe", action="store_true", help="leave out the ten seconds of training steps")
    asked, said = parser.parse_args(arguments), []
    try:
        for status, *words in examine(not asked.no_probe):
            print(f"{status:<9}{' -> '.join(words)}", flush=True)
            said.append(status)
    except KeyboardInterrupt:
        return 130
    trouble, well = said.count("trouble"), f"all is well; {said.count('note')} to note"
    print(f"\n{trouble} to fix before a run; the fix follows the arrow" if trouble else f"\n{well}")
    return int(trouble > 0)


if __name__ == "__main__":
    raise SystemExit(main())
