"""What ``--model`` names: a checkpoint folder, a run folder, a name on the hub, or ``tiny``."""

from pathlib import Path

from observe_r1.errors import ModelError

TINY = "tiny"


def locate_model(model: str) -> str:
    """Where to load a model from; a run folder means its latest checkpoint.

    Only what is certain is refused here, before anything is written: a name like ``org/model`` may
    be on the hub, and whether its weights are whole is seen when they are loaded.
    """
    if model == TINY:
        return model
    folder = Path(model).expanduser()
    if not folder.exists():
        if _looks_like_a_path(model):
            raise ModelError(
                f"there is no model folder {model}. Give a folder written by save_pretrained, a run "
                f"folder, a name on the hub such as Qwen/Qwen2.5-VL-3B-Instruct, or '{TINY}'."
            )
        return model
    latest = folder / "checkpoints" / "latest"
    if latest.exists():
        return str(latest.resolve())
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{model} holds no model: there is no config.json in it, and no checkpoints/latest. "
            "Give a folder written by save_pretrained, or a run folder with a checkpoint."
        )
    return str(folder)


def _looks_like_a_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~")) or model.count("/") != 1 or model.endswith("/")
