"""Graders for the notebooks' exercises: each takes your function, tries it on small cases, and says what is wrong.

One module a notebook; import ``check_...`` from it. A checker returns a :class:`~cdlearn.course.checks.grade.Verdict`.
"""

from cdlearn.course.checks.grade import Verdict

__all__ = ["Verdict"]
