"""Graders for the notebooks' exercises: each takes your function, tries it on small cases, and says what is wrong.

One module per notebook: import ``check_...`` from it. Checkers return a :class:`~cdlearn.course.checks.grade.Verdict`.
"""

from cdlearn.course.checks.grade import Verdict

__all__ = ["Verdict"]
