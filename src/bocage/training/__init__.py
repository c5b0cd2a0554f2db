"""Model + Samples → Trained: batches, losses, training loop, checkpoints, calibration."""

from typing import TYPE_CHECKING

from bocage.later import later

if TYPE_CHECKING:
    from bocage.training.adapt import Adapting, adapt, check_adaptable, kept
    from bocage.training.budget import budgeted
    from bocage.training.certainty import certainty_of, drawn
    from bocage.training.changes import Answers, Change, Importance, Round
    from bocage.training.choice import Choice
    from bocage.training.cutoffs import at_cutoff, fixed_dates, proposed
    from bocage.training.domain import features_of
    from bocage.training.encoder import load_encoder
    from bocage.training.ensemble import map_pixels
    from bocage.training.guard import Expected, Judgement, estimate, read_certainties
    from bocage.training.held_out import read_conformal
    from bocage.training.idle import idle_settings
    from bocage.training.importance import importance
    from bocage.training.loop import check_device
    from bocage.training.out_of_fold import OutOfFold, out_of_fold
    from bocage.training.own_dates import few_shared
    from bocage.training.precision import Reduced, check_bfloat16, imitates_bfloat16
    from bocage.training.pretrain import Pretrained, Pretraining, pretrain
    from bocage.training.records import (
        CALENDAR,
        Certainties,
        Certainty,
        Region,
        SourceRecord,
        input_specs,
        source_records,
    )
    from bocage.training.remarks import remarks
    from bocage.training.scaling import Normalisation
    from bocage.training.settings import OF_EPOCHS, Training, with_preset
    from bocage.training.sites import check_sites
    from bocage.training.train import Trainer, classified, classify
    from bocage.training.trained import Temperature, Trained
    from bocage.training.windows import check_single, needs_for, why_not_windows

__all__ = [
    "CALENDAR",
    "OF_EPOCHS",
    "Adapting",
    "Answers",
    "Certainties",
    "Certainty",
    "Change",
    "Choice",
    "Expected",
    "Importance",
    "Judgement",
    "Normalisation",
    "OutOfFold",
    "Pretrained",
    "Pretraining",
    "Reduced",
    "Region",
    "Round",
    "SourceRecord",
    "Temperature",
    "Trained",
    "Trainer",
    "Training",
    "adapt",
    "at_cutoff",
    "budgeted",
    "certainty_of",
    "check_adaptable",
    "check_bfloat16",
    "check_device",
    "check_single",
    "check_sites",
    "classified",
    "classify",
    "drawn",
    "estimate",
    "features_of",
    "few_shared",
    "fixed_dates",
    "idle_settings",
    "imitates_bfloat16",
    "importance",
    "input_specs",
    "kept",
    "load_encoder",
    "map_pixels",
    "needs_for",
    "out_of_fold",
    "pretrain",
    "proposed",
    "read_certainties",
    "read_conformal",
    "remarks",
    "source_records",
    "why_not_windows",
    "with_preset",
]  # fmt: skip

later(__name__)
