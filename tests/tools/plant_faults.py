"""Is a fault caught? Plants one after the other in a copy of the checkout, and runs the tests that should notice.

    python tests/tools/plant_faults.py [NUMBER …]

Each fault is one piece of code that is replaced by another, a plausible slip, and the tests that must fail for it. The
script fails if some of them pass all the same. Some ten minutes on two cores; the checkout itself is not touched.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAULTS = [
    ("taujp_core/training/state.py", "slot: saved if slot == \"step\" else saved.to(value.device)",
     "slot: saved if slot == \"step\" else saved.to(value.device) * 0", "core/test_resumption.py -k any_sequence"),
    ("taujp_core/training/state.py", "!= metadata[\"digest\"]:", "== \"\":", "core/test_resumption.py -k damaged"),
    ("taujp_core/files.py", "shutil.rmtree(path)", "pass", "core/test_runs.py core/test_files.py"),
    ("taujp_core/checkpoints/pickles.py", "pickle.BUILD[0]: load_build, ", "", "checkpoints/test_untrusted.py -k hand_written"),
    ("taujp_core/checkpoints/pickles.py", "self.append(Entries())\n\n    def load_dict", "self.append({})\n\n    def load_dict",
     "checkpoints/test_untrusted.py -k 'hand_written or bombs'"),
    ("taujp_core/registry.py", "if thing.name in self:", "if False:", "core/test_methods.py core/test_applications.py"),
    ("pyproject.toml", "    \"pillow\",\n", "", "house/test_environment.py"),
    ("tests/helpers/warm_kernels.py", "str(folder / \"socket\"), read_at_import())", "str(folder / \"socket\"))",
     "notebooks/test_warm_kernels.py"),
    ("taujp_core/training/run_store.py", "lock.acquire(timeout=0)", "(folder / LOCK).touch()", "core/test_runs.py"),
    ("taujp_core/training/run_store.py", "if record.get(\"run\") != folder.name:", "if False:", "core/test_store.py -k another_runs"),
    ("taujp_core/training/run_store.py", "        if not held:", "        if False:", "core/test_store.py -k 'deleted or whoever'"),
    ("taujp_core/files.py", "if path.stat().st_mode != mode:", "if False:", "core/test_store.py core/test_files.py -k umask"),
    ("taujp_core/cache.py", "if metadata == {\"name\": name, \"digest\": fingerprint(tensors)} else None", "",
     "core/test_cache.py"),
    ("taujp_core/training/step_images.py", "[turn % len(others)]", "[0]", "core/test_finetune.py -k turn"),
    ("taujp_core/methods/taujp_strict.py", "penalty_weight * penalty,", "penalty_weight * penalty**2,",
     "core/test_jacobian.py -k penalised"),
    ("taujp_core/methods/drift.py", "                    slopes = torch", "        slopes = torch",
     "core/test_training_drift.py -k drown"),
    ("taujp_core/methods/drift.py", "if width < NARROW else", "if False else", "core/test_training_drift.py -k drown"),
    ("taujp_core/methods/taujp_path.py", "zeros_like(tau), u\n", "zeros_like(tau), 1.0\n", "core/test_training_drift.py -k formula"),
    ("taujp_core/methods/taujp_partner.py", "tau[name].detach().norm()", "tau[name].norm()", "core/test_training_drift.py -k formula"),
    ("taujp_core/training/descent.py", "tau[name], value))", "tau[name], tau[name]))", "core/test_training_rivals.py -k masks"),
    ("taujp_core/methods/talos.py", "kept[name] &= found[name] <= threshold", "kept[name] = found[name] <= threshold",
     "core/test_training_rivals.py -k rounds"),
    ("taujp_core/methods/talos.py", "slope.detach().square().sum(0)", "slope.detach().sum(0).square()",
     "core/test_training_rivals.py -k scores"),
    ("taujp_core/methods/orthoreg.py", "wide = form == \"code\" and ", "wide = ", "core/test_training_rivals.py -k orthoreg"),
    ("taujp_core/methods/tak.py", "/ one.images for one in found) * share", "for one in found) / images * share",
     "core/test_training_rivals.py -k 'brute_force or equal_data'"),
    ("taujp_core/products/kronecker.py", "use.movedim(axis, 0)", "use.movedim(0, 0)", "core/test_training_rivals.py -k layer_norms"),
    ("taujp_core/methods/attention_only.py", "\"attn.in_proj_weight\", ", "\"attn.in_proj_weight\", \"attn.in_proj_bias\", ",
     "core/test_training_rivals.py -k attention_only"),
    ("taujp_core/training/step_images.py", "turn = step // penalty_every(config)", "turn = step",
     "core/test_finetune.py -k every_third"),
    ("taujp_core/training/step_images.py", " and name in config.suite.tasks", "", "datasets/test_auxiliary.py -k told"),
    ("taujp_core/datasets/sources/dead_leaves.py", "rng.uniform(0.3, 1)", "rng.uniform(0.4, 1)",
     "datasets/test_auxiliary.py -k formula"),
    ("taujp_core/methods/taujp_strict.py", "penalty_every * penalty_weight *", "penalty_weight *",
     "core/test_finetune.py -k every_third"),
    ("analysis/training_rivals/measure.py", "others / len(config.penalty_tasks) if", "others if",
     "studies/test_training_rivals_study.py -k those_that_the_steps"),
    ("analysis/training_rivals/measure.py", "np.log(1 - points.normalised), 1)", "1 - points.normalised, 1)",
     "studies/test_training_rivals_study.py -k law"),
    ("analysis/training_rivals/measure.py", ".cummax().shift(", ".cummin().shift(",
     "studies/test_training_rivals_study.py -k front"),
    ("taujp_core/training/config.py", ".get(trained.name, {}), **changes}", ".get(trained.name, {})}",
     "studies/test_training_rivals_study.py -k another_recipe"),
    ("taujp_core/methods/post_hoc_linearised.py", "applications.linearised import LINEARISED",
     "applications.encoder import ENCODER as LINEARISED", "core/test_methods.py"),
    ("taujp_core/applications/linearised.py", "return clip.theta0",
     "return {name: value + tau[name] for name, value in clip.theta0.items()}", "studies/test_rivals.py -k linearised"),
    ("taujp_core/applications/encoder.py", "moved(self.clip.theta0, self.taus, coefficients)",
     "moved(self.clip.theta0, self.taus[::-1], coefficients)", "core/test_applications.py -k source"),
    ("analysis/merging/matching.py", "if self.application.in_weights else", "if True else",
     "core/test_applications.py -k residuals"),
    ("analysis/coefficients.py", "curves[curves.split != \"test\"] if \"split\" in curves else curves", "curves",
     "studies/test_addition.py -k tuned"),
    ("taujp_core/task_vectors.py", "if vector.theta0_fingerprint != theta0_fingerprint:", "if False:",
     "core/test_task_vectors.py studies/test_addition.py"),
    ("taujp_core/datasets/load.py", "order[held:], order[:held]", "order, order[:held]",
     "datasets/test_datasets.py datasets/test_own_data.py"),
    ("taujp_core/datasets/split.py", "return self if self.fair else", "return self if True else", "datasets/test_what_is_read.py -k fair"),
    ("taujp_core/datasets/split.py", "torch.arange(len(self)) if self.fair else", "torch.arange(len(self)) if True else", "datasets/test_split.py -k fair"),
    ("taujp_core/datasets/sources/class_folders.py", "source.place(task, parts)", "source.locate(task)", "datasets/test_walks.py"),
    ("taujp_core/suites/suite.py", "check_own(task, places[task.name])", "check_own(task)", "datasets/test_walks.py -k suite_file"),
    ("analysis/merging/matching.py", "max(share, len(own) // most)", "share", "datasets/test_split.py -k merge"),
    ("taujp_core/datasets/pictures.py", "(255 / (2**bits - 1))", "(255 / (2**16 - 1))", "datasets/test_what_is_read.py -k more_bits"),
    ("taujp_core/datasets/sources/tables.py", "paths | picture_files(folder, self.image)", "paths",
     "datasets/test_what_is_read.py -k 'table and paths'"),
    ("taujp_core/datasets/classes.py", "if text or len(unknown) < len(names):", "if text:",
     "datasets/test_what_is_read.py -k by_number"),
    ("taujp_core/datasets/sources/tables.py", "return self.folder / picture", "return Path() / picture",
     "datasets/test_what_is_read.py -k tables_folder"),
    ("taujp_core/hub.py", "    if digest.hexdigest() != said:", "    if False:", "datasets/test_hub.py"),
    ("taujp_core/checkpoints/hub.py", "opened, resume_size=opened.tell()", "opened, resume_size=0",
     "checkpoints/test_hub_checkpoints.py -k cut_off"),
    ("taujp_core/checkpoints/hub.py", "record[\"commit\"] or full_commit(api, repo, revision)", "full_commit(api, repo, revision)",
     "checkpoints/test_hub_checkpoints.py -k cut_off"),
    ("taujp_core/checkpoints/hub.py", "        check_sum(folder / name, files[name], repo)\n", "",
     "checkpoints/test_hub_checkpoints.py -k checksum"),
    ("taujp_core/checkpoints/hub.py", "if commit.startswith(revision)), revision)", "if commit == revision), revision)",
     "checkpoints/test_hub_checkpoints.py -k whatever_main"),
    ("taujp_core/checkpoints/published.py", "        if not without_gone or len(gone)", "        if len(gone)",
     "checkpoints/test_published_families.py -k gone"),
    ("taujp_core/datasets/torchvision_layouts.py", "images.transpose(0, 2, 1)", "images",
     "datasets/test_benchmark_of_twenty.py -k 'reads_them and emnist'"),
    ("taujp_core/datasets/torchvision_layouts.py", ".transpose(0, 3, 2, 1)", ".transpose(0, 2, 3, 1)",
     "datasets/test_benchmark_of_twenty.py -k 'reads_them and stl10'"),
    ("taujp_core/datasets/torchvision_layouts.py", "task.classes.index(EMOTIONS[int(row[\"emotion\"])])", "int(row[\"emotion\"])",
     "datasets/test_benchmark_of_twenty.py -k 'reads_them and fer2013'"),
    ("taujp_core/datasets/sources/published.py", "part != \"val\" or part in hub.needed(self.hub)", "part != \"val\"",
     "datasets/test_benchmark_of_twenty.py -k 'hubs_copy and flowers102'"),
    ("taujp_core/models.py", "            if cut:", "            if False:", "core/test_models.py"),
    ("taujp_core/checks.py", "if images.dtype != torch.uint8:", "if False:", "studies/test_interference.py studies/test_coefficients.py core/test_models.py"),
    ("taujp_core/training/config.py", "if not method.penalised else set()", "if False else set()", "core/test_methods.py -k rate_of_zero"),
    ("taujp_core/task_vectors.py", "return vector.like(clip.theta0)", "return vector", "studies/test_devices.py core/test_task_vectors.py"),
    ("taujp_core/checkpoints/reading.py", "difference(base, clip.theta0)", "None", "checkpoints/test_checkpoints.py"),
    ("analysis/coefficients.py", "rtol=0, atol=1e-12)].index.max())", "rtol=0, atol=1e-12)].index.min())",
     "studies/test_addition.py studies/test_analogy.py"),
    ("analysis/coefficients.py", "curve.control >= CONTROL_SHARE * before", "curve.control >= 0 * before", "studies/test_negation.py"),
    ("analysis/continual/sequences.py", "else order[: k + 1]", "else order[: k + 2]", "studies/test_continual.py -k 'leak or penalty or past'"),
    ("analysis/causal/arms.py", "(1.0, dose, 0.0, 0.0)", "(1.0, dose, 0.0, dose)", "studies/test_arms.py"),
    ("analysis/analogy/quadruples.py", "load_split(task, \"test\")", "load_split(task, \"validation\")", "studies/test_analogy.py"),
    ("analysis/resampling.py", "of_task[source] * of_task[target] * of_seed[seed]", "of_task[source] * of_seed[seed]",
     "studies/test_causality.py"),
    ("taujp_core/training/state.py", "generator.set_state(tensors[f\"generator/{name}\"])", "pass",
     "core/test_resumption.py -k 'any_sequence and network'"),
    ("taujp_core/training/loop.py", "state.step % LOSS_STEPS == 0", "True", "core/test_looks.py -k 'standard'"),
    ("taujp_core/training/loop.py", "if not math.isfinite(sum(values)):", "if False:",
     "core/test_finetune.py core/test_joint.py core/test_pretrain.py core/test_invariance.py -k 'nan or finite'"),
    ("taujp_core/invariance/training.py", "self.unseen.get(end, self.model.state_dict())", "self.model.state_dict()",
     "core/test_resumption.py -k 'any_sequence and game'"),
    ("taujp_core/invariance/objective.py", "    if low < 0 or high >= classes:", "    if False:", "core/test_invariance.py -k bad_input"),
    ("taujp_core/training/finetune.py", "weight_decay=config.weight_decay", "weight_decay=2 * config.weight_decay", "house/test_golden.py -k 'two and linear'"),
    ("taujp_core/training/finetune.py", "weight_decay=config.weight_decay",
     "weight_decay=config.weight_decay, betas=(0.9, 0.998)", "house/test_golden.py -k 'two and linear'"),
    ("taujp_core/datasets/split.py", "resized_crop(picture, *box,", "resized_crop(picture, box[0] + 1, *box[1:],", "house/test_golden.py -k decoding"),
    ("taujp_core/optimisation.py", "start, indices = step * batch_size", "start, indices = (step + 1) * batch_size",
     "house/test_golden.py -k batches"),
    ("taujp_core/datasets/split.py", "(rank + 0.5)", "(rank + 0.4)", "house/test_golden.py -k splitting"),
    ("taujp_core/mini/canvas.py", "PIXEL = 2.0 / SIZE", "PIXEL = 1.99 / SIZE", "house/test_golden.py -k four"),
    ("analysis/merging/rivals/featcal.py", "RIDGE = 0.05", "RIDGE = 0.005", "house/test_golden.py -k FeatCal"),
    ("analysis/merging/preconditioner.py", "DAMPING = 0.3 ", "DAMPING = 0.301 ", "house/test_golden.py -k merge"),
    ("taujp_core/training/run_store.py", "**fields_of(config, \"suite\"),", "**{k: v for k, v in fields_of(config, \"suite\").items() if v},",
     "core/test_identity.py -k 'configuration or default'"),
    ("taujp_core/datasets/identity.py", "**fields_of(task),", "**fields_of(task, \"templates\"),", "core/test_identity.py -k 'task or races'"),
    ("taujp_core/datasets/sources/rendered.py", "-{len(task.classes)}classes", "", "core/test_identity.py -k rendered"),
    ("analysis/merging/merge.py", "\"application\": vectors[0].application.name,", "", "core/test_identity.py -k merges"),
    ("analysis/merging/arena.py", "[task_identity(suite.task(task)) for task in sets]", "sets", "core/test_identity.py -k races"),
    ("taujp_core/provenance.py", "\"analysis\", ", "", "core/test_provenance.py"),
    ("analysis/resampling.py", "np.clip(-inverse[0, 1]", "np.clip(inverse[0, 1]", "studies/test_causality.py -k pingouin"),
    ("analysis/analogy/quadruples.py", "abs(first @ drawn)", "first @ drawn", "studies/test_analogy.py -k chance"),
    ("analysis/metrics.py", "probabilities.float().clamp(0, BELOW_ONE)", "probabilities.float()", "studies/test_metrics.py -k last_bin"),
    ("analysis/drawing.py", "trace[\"legendgroup\"] not in known", "True", "studies/test_figures.py -k legend"),
    ("analysis/drawing.py", "rows[x] - rows.low", "rows.low", "studies/test_figures.py -k two_sides"),
    ("analysis/drawing.py", "reversescale=little_is_good, ", "", "studies/test_figures.py -k light_is_good"),
    ("analysis/drawing.py", "wrap(said, 46)", "[said]", "studies/test_figures.py -k narrow_cell"),
    ("analysis/notebook.py", ", width=WIDTH)", ")", "studies/test_figures.py -k stored_picture"),
    ("analysis/palette.py", "\"#a80054\"", "\"#c5221f\"", "studies/test_palette.py -k two_meanings"),
    ("analysis/palette.py", "\"#f06084\"", "\"#f8a0b4\"", "studies/test_palette.py -k stands_out"),
    ("analysis/palette.py", "\"#6c6ce4\"", "\"#3c80d0\"", "studies/test_palette.py -k with_green"),
    ("analysis/palette.py", "SYMBOLS[k % len(SYMBOLS)]", "SYMBOLS[0]", "studies/test_palette.py -k own"),
    ("analysis/merging/arena_figures.py", "in best][:NAMED]", "in best]", "studies/test_arena.py -k five_merges"),
    ("analysis/explore/pack.py", ".penalised]", ".vector_of]", "studies/test_explore.py -k opens_on"),
    ("analysis/explore/gather.py", "clip.fingerprint != learnt_on", "False", "studies/test_explore.py -k of_its_model"),
    ("analysis/explore/answers.py", "compared(images.logits(own), ", "compared(images.logits(np.ones(len(own)).tolist()), ",
     "studies/test_explore.py -k 'that_of_the_call or lose_nothing'"),
    ("analysis/explore/pack.py", "\"elsewhere\": explorer.elsewhere", "\"elsewhere\": False", "studies/test_explore.py -k of_its_model"),
    ("analysis/study.py", "if element in elements[:place]:", "if False:", "notebooks/test_parameters.py -k twice"),
    ("analysis/causal/study.py", "trained(UNTREATED_METHOD, self.tasks, self.seeds)",
     "trained(PENALISED, self.tasks, self.seeds, penalty_weight=weight)", "notebooks/test_parameters.py -k untreated"),
    ("analysis/notebook_parameters.py", "if \"_begun\" not in namespace else ()", "", "notebooks/test_parameters.py -k by_hand"),
    ("analysis/notebook_parameters.py", "if isinstance(values.get(\"suite\"), Suite):", "if False:", "notebooks/test_parameters.py -k by_hand"),
    ("analysis/studies/plan.py", "defaults_of(notebook) | point.parameters", "point.parameters", "batch/test_plan.py -k ones_own"),
    ("analysis/forecast/errors.py", "(table.task != task) & ", "", "studies/test_forecast.py -k other_tasks"),
    ("analysis/forecast/errors.py", "learn(others if elsewhere.empty else elsewhere)", "learn(others)", "studies/test_forecast.py -k other_tasks"),
    ("analysis/expected_accuracy.py", "for answers in (expert, planned))", "for answers in (planned, expert))", "studies/test_forecast.py -k by_hand"),
    ("analysis/forecast/predictors.py", "found + alpha * (pairs[other] - experts)", "found + alpha * pairs[other]", "studies/test_forecast.py -k brute"),
    ("analysis/expected_accuracy.py", "1 - rows.changed / rows.sure - half", "1 - rows.changed - half", "studies/test_forecast.py -k another_model_gets"),
    ("analysis/forecast/call.py", "alpha * (place != left)", "alpha", "studies/test_forecast.py -k that_are_tried"),
    ("analysis/forecast/call.py", "[-alpha * (place == kind)", "[alpha * (place == kind)", "studies/test_forecast.py -k 'through_the_sum or of_its_models'"),
    ("analysis/forecast/evidence.py", "in dict.fromkeys(map(tuple, [alone, *plans]))", "in map(tuple, [alone, *plans])",
     "studies/test_forecast.py -k passes_are"),
    ("analysis/forecast/cost.py", "{expert_of(own, vectors), *map", "{*map", "studies/test_forecast.py -k passes_are"),
    ("taujp_core/methods/drift.py", ".mean() * moved", ".mean()", "core/test_training_drift.py -k no_say"),
    ("analysis/merging/benchmark.py", "replace(setting, merge_images=images)", "setting", "studies/test_benchmark_study.py -k rows_are"),
    ("analysis/merging/benchmark.py", " & (published.note.str.contains(LEAKED) == leaked)", "", "studies/test_benchmark_study.py -k seen_test"),
    ("analysis/merging/benchmark.py", "\"learned\": \"one_shot\", \"tuned\": \"tuned\"}", "\"learned\": \"one_shot\", \"tuned\": \"one_shot\"}", "studies/test_benchmark_study.py -k same_choice"),
    ("analysis/merging/benchmark.py", " and {*known.tasks} == {*tasks}", "", "studies/test_benchmark_study.py -k other_tasks"),
    ("analysis/merging/arena.py", ", *(control.name for control in suite.controls)]", "]",
     "studies/test_benchmark_study.py -k control_is_part"),
    ("analysis/sentences.py", "abs(ours - theirs) <= noise or ", "", "studies/test_sentences.py -k noise"),
    ("analysis/sentences.py", "sum(0.5 / count", "sum(0.25 / count", "studies/test_sentences.py -k drawn"),
    ("analysis/sentences.py", "reverse=not lower_is_better", "reverse=True", "studies/test_sentences.py -k stands"),
    ("analysis/notebook.py", "if small else last", "if not small else last", "notebooks/test_full_versions.py -k prefix"),
    ("analysis/jupyterlab.py", "metadata |= {\"kernelspec\": named, \"language_info\": LANGUAGE}", "pass", "notebooks/test_lab.py"),
    ("analysis/quickstart/__main__.py", "text[shown : text.rfind(\"\\n\") + 1]", "text[shown:0]", "notebooks/test_quickstart.py -k says"),
    ("analysis/recorded/arena_tasks.csv", "ours,2,0.995", "ours,2,0.895", "notebooks/test_full_versions.py -k recorded"),
    ("notebooks/51_merge.ipynb", "the experts on 14% of", "the experts on 4% of", "notebooks/test_full_versions.py -k sentence"),
    ("tests/helpers/nbval_numbers.py", "self.relative * abs(old))", "10 * self.relative * abs(old))", "notebooks/test_nbval_numbers.py"),
]  # fmt: skip


def fails(copy: Path, tests: str) -> bool:
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {tests}"
    environment = os.environ | {"PYTHONPATH": str(copy)}
    return subprocess.run(command, shell=True, cwd=copy / "tests", env=environment, capture_output=True).returncode != 0


def caught(copy: Path, file: str, old: str, new: str, tests: str) -> bool:
    """Whether some of the tests fail with the fault in its place, and none without it."""
    path = copy / file
    sound = path.read_text(encoding="utf-8")
    if sound.count(old) != 1:
        raise ValueError(f"{file} holds {old!r} {sound.count(old)} times: name a piece that stands there once")
    if fails(copy, tests):
        raise RuntimeError(f"the tests fail without a fault: {tests}")
    path.write_text(sound.replace(old, new), encoding="utf-8")
    try:
        return fails(copy, tests)
    finally:
        path.write_text(sound, encoding="utf-8")


if __name__ == "__main__":
    chosen = [int(number) for number in sys.argv[1:]] or range(1, len(FAULTS) + 1)
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "__pycache__"))
        for number in chosen:
            file, old, new, tests = FAULTS[number - 1]
            found = caught(copy, file, old, new, tests)
            missed += not found
            print(f"{number:2} {'caught' if found else 'MISSED'}  {file}: {old}  →  {new}", flush=True)
    sys.exit(f"{missed} faults were not caught" if missed else 0)
