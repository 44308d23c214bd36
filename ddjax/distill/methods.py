"""The named methods that make images, and what each of them reads."""

import dataclasses
from collections.abc import Callable

from ddjax.distill.batches import across_classes, whole_classes, within_classes
from ddjax.distill.ca2d import ca2d
from ddjax.distill.cda import cda
from ddjax.distill.cv_dd import cv_dd
from ddjax.distill.dwa import dwa
from ddjax.distill.edc import edc
from ddjax.distill.edc import form as edc_form
from ddjax.distill.g_vbsm import form as g_vbsm_form
from ddjax.distill.g_vbsm import g_vbsm
from ddjax.distill.lpld import lpld
from ddjax.distill.pca import pca
from ddjax.distill.rded import rded
from ddjax.distill.recover import Batch, Form, form_of
from ddjax.distill.sre2l import sre2l
from ddjax.distill.sre2lpp import sre2lpp
from ddjax.distill.task import Distilled, Task
from ddjax.settings import Distill
from ddjax.settings.recover import Recover


@dataclasses.dataclass(frozen=True)
class Method:
    """A named method.

    Attributes:
      distill: (task, section of the settings) -> the image set; those of "recover" take
        the image set to start from besides.
      section: which section of `settings.Distill` it reads, "patches" or "recover".
      difficulty: the score, of scores.SCORES, that it orders the pool by unless the
        settings name another one; "": it does not.
      asks_teacher: whether it looks through a teacher.
      init: what a method of the section "recover" starts from unless the settings say.
      asks: which teachers an iteration of "recover" looks through: the "first", "some"
        that are drawn, or all in "turns".
      batches: (number of classes, IPC, size) -> the batches of "recover".
      form: (section of the settings, batch) -> what the synthesis of a batch does.
    """

    distill: Callable[..., Distilled]
    section: str
    difficulty: str = ""
    asks_teacher: bool = True
    init: str = ""
    asks: str = "first"
    batches: Callable[[int, int, int], list[Batch]] = across_classes
    form: Callable[[Recover, Batch], Form] = lambda settings, batch: form_of(settings)

    def sections(self, settings: Distill) -> tuple[str, ...]:
        """Returns the names of the sections of its settings that it reads."""
        if self.section == "recover" and (settings.recover.init or self.init) == "rded":
            return ("patches", "recover")
        return (self.section,)

    def make(
        self, task: Task, settings: Distill, start: Distilled | None = None
    ) -> Distilled:
        """Makes an image set; one that is descended on may start from RDED's images.

        Args:
          task: what is to be distilled.
          settings: of the image set.
          start: images that were read to start from.

        Raises:
          InputError: see the method.
        """
        if self.section == "patches":
            return self.distill(task, settings.patches)
        if "patches" in self.sections(settings):
            start = rded(task, settings.patches)
        made = self.distill(task, settings.recover, start)
        if start is None:
            return made
        return dataclasses.replace(made, cost=start.cost + made.cost)


METHODS = {
    "ca2d": Method(ca2d, "patches", difficulty="cad"),
    "cda": Method(cda, "recover"),
    "cv_dd": Method(cv_dd, "recover", init="rded", asks="some"),
    "dwa": Method(dwa, "recover"),
    "edc": Method(
        edc,
        "recover",
        init="rded",
        asks="turns",
        batches=whole_classes,
        form=edc_form,
    ),
    "g_vbsm": Method(
        g_vbsm, "recover", asks="turns", batches=whole_classes, form=g_vbsm_form
    ),
    "lpld": Method(lpld, "recover", batches=within_classes),
    "pca": Method(pca, "patches", difficulty="el2n", asks_teacher=False),
    "rded": Method(rded, "patches"),
    "sre2l": Method(sre2l, "recover"),
    "sre2lpp": Method(sre2lpp, "recover", init="rded"),
}
