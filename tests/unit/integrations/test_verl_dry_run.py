"""An exported folder is started by its own command: verl's entry point goes as far as it can without
a GPU, which is the moment it asks for one.

Run by ``make test-verl``, in verl's own environment. Minutes, because Ray's processes load verl.
"""

import os
import re
import subprocess
import sys

import pytest
from verl_folders import export

pytestmark = pytest.mark.verl


def start(out, *overrides, **variables):
    return subprocess.run(
        [str(out / "run.sh"), *overrides],
        env={**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )


def test_the_command_goes_as_far_as_asking_for_a_gpu(tmp_path):
    out = export(tmp_path, "rl.prompts_per_step=8", "--gpus", "2")
    out = out.rename(tmp_path / "moved (once)")
    resources = [] if "RAY_ADDRESS" in os.environ else ["ray_kwargs.ray_init.num_cpus=16"]
    done = start(out, *resources)
    print(done.stdout)
    assert "[validate_config] All configuration checks passed successfully!" in done.stdout
    assert "'adv_estimator': 'observe_r1'" in done.stdout
    assert "Using dataset class: CurriculumDataset" in done.stdout
    assert "dataset len: 24" in done.stdout
    assert re.search(r"Total available GPUs 0\S* is less than total desired GPUs 2", done.stdout)
    assert done.returncode != 0


def test_a_wrong_setting_is_verls_to_refuse(tmp_path):
    out = export(tmp_path, "rl.prompts_per_step=8")
    done = start(out, "trainer.no_such_setting=1")
    assert done.returncode != 0 and "no_such_setting" in done.stdout


def test_without_this_package_the_command_says_what_to_do(tmp_path):
    out = export(tmp_path, "rl.prompts_per_step=8")
    (tmp_path / "bare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bare").chmod(0o755)
    done = start(out, PYTHON=str(tmp_path / "bare"))
    assert done.returncode == 2
    assert done.stdout.startswith("observe-r1: ") and "has no observe-r1" in done.stdout
