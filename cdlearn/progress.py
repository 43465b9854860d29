"""The bar of a run: how far it is, how fast, and the loss so far."""

from tqdm import tqdm


def progress_bar(trainer, shown: bool) -> tqdm:
    """A bar that counts the views, or the images where the method takes no views."""
    each = trainer.config.batch_size * trainer.views_per_image
    counts = dict(total=trainer.steps * each, initial=trainer.step * each, unit_scale=True)
    unit = "views" if trainer.views_per_image > 1 else "images"
    return tqdm(**counts, unit=unit, disable=not shown, dynamic_ncols=True)


def show(bar: tqdm, trainer) -> None:
    """Move the bar to the step at hand, with the mean of every loss term over the epoch so far."""
    epoch, place = divmod(trainer.step - 1, trainer.steps_per_epoch)
    bar.set_description(f"epoch {epoch + 1}/{trainer.epochs}", refresh=False)
    means = {name: f"{value.item() / (place + 1):.3f}" for name, value in trainer.sums.items()}
    bar.set_postfix(means, refresh=False)
    bar.update(trainer.step * trainer.config.batch_size * trainer.views_per_image - bar.n)
