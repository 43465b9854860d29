"""The bar of a training run."""

from tqdm import tqdm


class Bar(tqdm):
    """What is done, how fast, how long it will take, and the means of the loss terms.

    total, done: in ``unit``. shown: False prints nothing.
    """

    def __init__(self, total: int, done: int, unit: str, shown: bool):
        super().__init__(total=total, initial=done, unit=unit, unit_scale=True, disable=not shown, dynamic_ncols=True)

    def show(self, title: str, means: dict[str, float], done: int) -> None:
        """Move to ``done``."""
        self.set_description(title, refresh=False)
        self.set_postfix({name: f"{value:.3f}" for name, value in means.items()}, refresh=False)
        self.update(done - self.n)
