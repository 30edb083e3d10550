"""A run's numbers in a tracker: a run a setting, with its parameters, the means of its metrics and what was made of it."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, MissingExtraError
from evalkit.experiment.parameters import ENDPOINT
from evalkit.experiment.several import endpoint_name
from evalkit.exports.settings import Exported
from evalkit.run import Run
from evalkit.store.folder import ANALYSIS, CHOICE, RECOMMENDED, SUMMARY
from evalkit.text.escaping import harmless

_UNNAMED = re.compile(r"[^A-Za-z0-9_./ -]+")
_LONGEST = 250
_LONGEST_VALUE = 5_900
"""Characters; MLflow refuses a parameter of more than 6,000."""
_ARTEFACTS = (ANALYSIS, CHOICE, SUMMARY, RECOMMENDED, "report.html", "report.md")


def name_for(text: str) -> str:
    """A name of a parameter or a metric as MLflow and W&B take it: letters, digits, ``_ . / -`` and blanks."""
    return _UNNAMED.sub("_", text).strip(" /.")[:_LONGEST].strip(" /.") or "_"


def names_for(texts: Iterable[str]) -> dict[str, str]:
    """A name as `name_for` gives it for each text, no two of one spelling: a number tells those apart that would be."""
    out: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        name = plain = name_for(text)
        number = 1
        while name.casefold() in map(str.casefold, out.values()):
            number += 1
            name = f"{plain[: _LONGEST - 10]}_{number}"
        out[text] = name
    return out


def to_mlflow(run: Run, every: Sequence[Exported], place: str) -> list[str]:
    """Write the settings into MLflow's tracking store at `place`, a URI; the settings are children of a run named after the experiment.

    What is undefined or infinite is left out, for MLflow keeps infinity as a number.

    Raises:
        MissingExtraError: MLflow is not installed.
        EvalkitError: the store does not take it, with its words.
    """
    try:
        import mlflow  # an extra, and slow to import
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise MissingExtraError('export --to mlflow needs MLflow; run: pip install -e ".[mlflow]"') from None
    parameters, metrics = _names(run, every)
    try:
        mlflow.set_tracking_uri(place)
        mlflow.set_experiment(name_for(run.experiment.name))
        with mlflow.start_run(run_name=name_for(run.experiment.name)) as parent:
            mlflow.log_params(_about(run))
            mlflow.set_tag("evalkit.digest", run.experiment.digest())
            for path in _artefacts(run):
                mlflow.log_artifact(str(path))
            for one in every:
                with mlflow.start_run(run_name=name_for(one.name), nested=True):
                    mlflow.log_params({name: _cut(value) for name, value in _parameters(one, parameters).items()})
                    mlflow.log_metrics(dict(_means(run, one, metrics)))
                    mlflow.set_tag("evalkit.role", _role(run, one))
            return [f"{len(every)} settings under the run {parent.info.run_id} in {place}"]
    except MlflowException as fault:
        raise EvalkitError(f"MLflow at {harmless(place)} refused: {harmless(str(fault))[:300]}") from None


def to_wandb(run: Run, every: Sequence[Exported], place: str) -> list[str]:
    """Write the settings as offline runs of W&B into the folder `place`; ``wandb sync`` sends them, and nothing else does.

    Raises:
        MissingExtraError: W&B is not installed.
    """
    try:
        import wandb  # an extra, and slow to import
    except ImportError:
        raise MissingExtraError('export --to wandb needs W&B; run: pip install -e ".[wandb]"') from None
    Path(place).mkdir(parents=True, exist_ok=True)
    parameters, metrics = _names(run, every)
    quiet = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
    for one in every:
        config = {**_about(run), **_parameters(one, parameters), "role": _role(run, one)}
        project = name_for(run.experiment.name).replace("/", "-")
        tracked = wandb.init(project=project, name=one.name, config=config, mode="offline", dir=place, settings=quiet, reinit="finish_previous")
        tracked.log(dict(_means(run, one, metrics)))
        for path in _artefacts(run):
            shutil.copy(path, tracked.dir)  # W&B's own `save` leaves a link, and the folder is often synced from elsewhere
        tracked.finish()
    return [f"{len(every)} settings as offline runs in {place}/wandb; send them with: wandb sync {place}/wandb/offline-run-*"]


def _about(run: Run) -> dict[str, str | int]:
    experiment = run.experiment
    return {
        "evalkit.experiment": experiment.name,
        "evalkit.model": experiment.models,
        "evalkit.endpoint": experiment.addresses,
        "evalkit.prompts": len(experiment.prompts),
        "evalkit.replicates": experiment.replicates,
    }


def _names(run: Run, every: Sequence[Exported]) -> tuple[dict[str, str], dict[str, str]]:
    """What trackers call the parameters and the metrics, each with the ends of its interval: the same for all settings."""
    parameters = names_for(["model", ENDPOINT, *(name for one in every for name in one.parameters)])
    metrics = names_for(f"{row.metric}{ending}" for row in run.analysis.by_cell for ending in ("", ".low", ".high"))
    return parameters, metrics


def _cut(value: Any) -> Any:
    """A value of a parameter no longer than MLflow takes it; its end says what is missing."""
    text = value if isinstance(value, str) else ""
    return f"{text[:_LONGEST_VALUE]} [cut: {len(text):,} characters]" if len(text) > _LONGEST_VALUE else value


def _parameters(one: Exported, names: Mapping[str, str]) -> dict[str, Any]:
    """By names that trackers take; a value that is no number is a text, since 1 and 1.0 are not one value there."""
    endpoint = endpoint_name(one.endpoint)
    every = {"model": one.model, **({ENDPOINT: endpoint} if endpoint else {}), **one.parameters}
    return {names[name]: value if isinstance(value, int | float | str) else str(value) for name, value in every.items()}


def _means(run: Run, one: Exported, names: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    for row in run.analysis.by_cell:
        if row.cell_index != one.index:
            continue
        for ending, value in (("", row.mean), (".low", row.ci_low), (".high", row.ci_high)):
            if math.isfinite(value):
                yield names[row.metric + ending], float(value)
    choice = run.choice
    if choice is not None and (worth := choice.desirability[one.index]) is not None and math.isfinite(worth):
        yield "desirability", float(worth)


def _role(run: Run, one: Exported) -> str:
    choice = run.choice
    if choice is None:
        return ""
    return "recommended" if one.index == choice.chosen else "tied" if one.index in choice.tied else ""


def _artefacts(run: Run) -> list[Path]:
    return [run.folder / name for name in _ARTEFACTS if (run.folder / name).is_file()]
