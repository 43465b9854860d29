"""What older versions called the weights and loss terms of a run."""

RENAMED = {"judge": "discriminator", "forger": "generator", "price": "penalty"}  # weights and loss terms of older runs


def with_new_names(state: dict) -> dict:
    """``state`` with the names of today for weights and loss terms: runs of older versions go on."""
    history = state.get("history")
    for part in (state.get("model"), state.get("sums"), *(history if isinstance(history, list) else ())):
        for name in list(part) if isinstance(part, dict) else ():
            first, dot, rest = name.partition(".")
            if first in RENAMED:  # in place: the state of a network carries its modules' versions
                part[RENAMED[first] + dot + rest] = part.pop(name)
    return state
