"""What people have chosen in a recipe, and teaching does not find out: it outlives a new teaching.

The recipe that is replaced says in `[drift]` what the line does about drift, and in `[limits] off` which reasons it
never gives.
"""

from pathlib import Path

from cmfm_worker.errors import InputError
from cmfm_worker.recipes.drift_section import DriftSection
from cmfm_worker.recipes.recipe import RECIPE_FILE, RecipeDraft, read_recipe_file


def with_choices_of(folder: Path, draft: RecipeDraft) -> tuple[RecipeDraft, list[str]]:
    """Return the draft with what was chosen in the recipe in `folder`, if there is one, and remarks that say so.

    A recipe that cannot be read has nothing to carry over; a remark says that, too.
    """
    if not (folder / RECIPE_FILE).is_file():
        return draft, []
    try:
        before = read_recipe_file(folder)
    except InputError as error:
        return draft, [f"[drift] and [limits] off of the recipe before are not carried over: {error}"]
    remarks = list[str]()
    if before.drift != DriftSection():
        draft = draft.model_copy(update={"drift": before.drift})
        remarks.append(f"[drift] is that of the recipe before: act = {before.drift.act}")
    if before.limits.off:
        limits = draft.limits.model_copy(update={"off": before.limits.off})
        draft = draft.model_copy(update={"limits": limits})
        remarks.append(f"[limits] off is that of the recipe before: {', '.join(before.limits.off)}")
    return draft, remarks
