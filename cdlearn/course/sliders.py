"""A slider that draws a figure anew; readers without a kernel see a still picture."""

from collections.abc import Callable, Sequence

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from cdlearn.course import picture, preset


def slide(draw: Callable[[float], Figure], values: Sequence, at, label: str, alt: str) -> None:
    """Show ``draw(at)``, and above it a slider over ``values`` that redraws the picture when it is moved.

    The stored notebook keeps the picture alone (tests/execute.py takes the slider out, which is nothing without a
    kernel). ``draw`` should take less than half a second; what is expensive belongs before it.

    Raises:
        ValueError: if ``at`` is not one of ``values``.
    """
    if at not in values:
        raise ValueError(f"{at} is not one of the slider's values")
    if preset() == "smoke":  # nobody moves the slider there, and yet its ends must draw
        draw(values[0])
        draw(values[-1])
    slider = ipywidgets.SelectionSlider(
        options=list(values), value=at, description=label, continuous_update=False, style={"description_width": "auto"}
    )
    display(slider)
    still = display(picture(draw(at), alt), display_id=True)
    slider.observe(lambda change: still.update(picture(draw(change["new"]), alt)), "value")
