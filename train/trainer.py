"""The trainer: one loop for every method, on one process or on many.

Frozen parts stay in eval mode and are never run twice: phrase taps are kept, and so are the vision
features, unless gradients enter the encoder or photos are augmented. Devices, processes and
accumulation are accelerate's: `torchrun --nproc_per_node 4 -m train ...` trains on four GPUs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from os import cpu_count
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, send_to_device
from torch import Tensor, nn
from tqdm import tqdm

from sdk.bundle.tokenizer import WordPieceTokenizer
from train.build import (
    MAX_TOKENS,
    build_model,
    load_frozen_detector,
    preprocess_for,
    use_vocab,
)
from train.checkpoint import frozen_sha256, load_start
from train.config import TrainConfig
from train.data.dataset import Batch, BatchMaker, batch_items, batches_per_pass
from train.data.loading import made_ahead
from train.data.samples import Photo
from train.fast_math import chosen_fast_math, use_fast_math
from train.features import CachedTextFeatures, CachedVisionFeatures, TextTokens, check_phrases
from train.interrupt import Interrupted, on_signal
from train.losses.objective import objective
from train.optimizer import build_optimizer, set_rate
from train.run_state import (
    CHECKPOINT,
    check_resumable,
    resume_run,
    save_best,
    save_run,
    without_starting_files,
)
from train.runlog import ACCURACY, LOSS, PROJECT, RunLog, tracker
from train.schedule import falling, rewarm, warm_cosine
from train.validation import validate

CHECKPOINT_EVERY = 50
"""Steps between two checkpoints: the most that a killed run does again."""
MOST_WORKERS = 8
"""Of a process that trains on a GPU, unless `--workers` says otherwise."""
LOG_EVERY = 20
"""Steps between two rows of the losses."""
LONGEST_WAIT = timedelta(hours=6)
"""For the first process, which computes the features that are kept."""


class Trainer:
    """Trains one configuration into the folder `out`; continues where `out` left off.

    In a group of processes each trains and validates on its share of the photos; the first one
    writes files.
    """

    def __init__(
        self,
        config: TrainConfig,
        train_photos: Sequence[Photo],
        val_photos: Sequence[Photo],
        vocab: Path,
        out: Path,
    ) -> None:
        self.config, self.out, self.val_photos = config, out, val_photos
        self.accelerator = Accelerator(
            # Without being told, processes on a CPU would each train by themselves.
            cpu=not torch.accelerator.is_available(),
            gradient_accumulation_steps=config.accumulate,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
            log_with=tracker(config.track),
            project_dir=out,
        )
        self.device = self.accelerator.device
        self.world, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.items = len(batch_items(train_photos, pairs=config.pairs))
        self.per_epoch = batches_per_pass(self.items, config.batch_photos, self.world)
        if not self.per_epoch:
            raise ValueError(
                f"--batch-photos: expected at most the {self.items // self.world} training "
                f"{'pairs' if config.pairs else 'photos'} of a process, got {config.batch_photos}"
            )
        self.total_steps = config.steps or self.per_epoch * config.epochs
        # What can be known to be wrong is said before anything is loaded or computed.
        check_resumable(self)
        self.preprocess = preprocess_for(config)
        initial = without_starting_files(config) if self.checkpoint.is_file() else config
        self.model = build_model(initial)
        use_vocab(self.model, vocab)
        self.frozen_sha256 = frozen_sha256(self.model)
        self.place(self.model)
        tokenizer = WordPieceTokenizer.from_file(vocab, MAX_TOKENS)
        check_phrases([*train_photos, *val_photos], tokenizer)
        cache_text = config.caches_text
        self.texts = (
            CachedTextFeatures(self.model.text, tokenizer) if cache_text else TextTokens(tokenizer)
        )
        self.cached_vision: CachedVisionFeatures | None = None
        use_fast_math(False)  # kept vision features are exact
        if config.caches_vision:
            photos = [*train_photos, *val_photos]
            with self.accelerator.main_process_first():
                self.cached_vision = CachedVisionFeatures(
                    self.model.vision, self.preprocess, photos, out.parent / "kept"
                )
        self.workers = config.workers
        if config.workers < 0:
            self.workers = 0 if self.device.type == "cpu" else min(MOST_WORKERS, cpu_count() or 1)
        self.fast_math = chosen_fast_math(config.fast_math, self.device)
        use_fast_math(self.fast_math)
        self.batches = BatchMaker(self.preprocess, train_photos, config)
        self.log = RunLog(out)
        if initial.side_weights:
            load_start(self.model, Path(initial.side_weights), config.fusion)
        self.before = load_frozen_detector(initial)
        if self.before is not None:
            self.place(self.before)
        self.params = self.model.adapter_params()
        self.average = {name: t.detach().clone() for name, t in self.model.adapter_state().items()}
        self.network, self.optimizer = self.accelerator.prepare(
            self.model, build_optimizer(self.params, config)
        )
        self.step = self.saved_step = self.moments_since = 0
        self._reached: float | None = None
        self.signalled = False
        resume_run(self)
        if config.track:
            self.accelerator.init_trackers(PROJECT, config.to_dict())

    def place(self, module: nn.Module) -> None:
        """Bring a network to the run's device.

        With an encoder that trains, a step on a CPU with AVX2 is some 5% faster in this format and
        its numbers are the same (benchmarks/training_step.py). Activations follow the weights.
        """
        module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def checkpoint(self) -> Path:
        """Where the run keeps its state."""
        return self.out / CHECKPOINT

    def save(self) -> None:
        """Write the state to go on from."""
        if self.accelerator.is_main_process:
            save_run(self)
        self.saved_step = self.step

    def fit(self) -> float:
        """Train to the end; returns Acc@0.5 on the validation photos' single-box phrases.

        Raises:
            Interrupted: SIGTERM or Ctrl-C came; the state is written.
        """
        with on_signal(self._note_signal):
            # A run that was stopped while it validated has its state, but not the figure.
            if self._validates() and self.step not in self.log.columns(ACCURACY).get("step", ()):
                self._log_accuracy()
            while self.step < self.total_steps:
                self._train_pass()
            for each in self.accelerator.trackers:
                each.finish()
            return validate(self)[0] if self._reached is None else self._reached

    def _train_pass(self) -> None:
        """Train to the end of the current pass over the photos, or of the run."""
        leaves = False
        epoch, done = divmod(self.step, self.per_epoch)
        main = self.accelerator.is_main_process
        photos = self.batches.order(epoch, self.config.batch_photos, self.rank, self.world)
        photos = photos[done : done + self.total_steps - self.step]
        bar = tqdm(
            made_ahead(self.batches, photos, epoch, self.workers),
            desc=f"epoch {epoch + 1}",
            total=self.per_epoch,
            initial=done,
            unit="batch",
            disable=not main,
        )
        for batch in bar:
            terms = self.train_step(batch)
            bar.set_postfix({k: f"{v:.3f}" for k, v in terms.items()}, refresh=False)
            if self.step % LOG_EVERY == 0 and main:
                self.log.add(LOSS, {"step": self.step, **terms})
                self.accelerator.log({f"loss/{k}": v for k, v in terms.items()}, self.step)
            # A signal to one process is one to all: they stop at the same step.
            leaves = leaves or self.accelerator.check_trigger()
            validates = self._validates()
            due = leaves or validates or self.step - self.saved_step >= CHECKPOINT_EVERY
            # Gradients that are still being accumulated are not part of the state.
            if self._ends_pass() or (due and self.accelerator.sync_gradients):
                self.save()
                if leaves:
                    raise Interrupted(self.saved_step, self.checkpoint)
            if validates:
                self._log_accuracy()

    def _ends_pass(self) -> bool:
        return self.step % self.per_epoch == 0 or self.step == self.total_steps

    def _validates(self) -> bool:
        """Whether the step, if any, is one to validate after."""
        every = self.config.eval_every
        return self.step > 0 and (self._ends_pass() or (every > 0 and self.step % every == 0))

    def _log_accuracy(self) -> None:
        self._reached, phrases = validate(self)
        if self.accelerator.is_main_process:
            row = {"step": self.step, "accuracy": self._reached, "phrases": phrases}
            self.log.add(ACCURACY, row)
            self.accelerator.log({"validation/accuracy": self._reached}, self.step)
            reached = [a for a in self.log.columns(ACCURACY)["accuracy"] if not math.isnan(a)]
            if self._reached >= max(reached, default=math.inf):
                save_best(self, self._reached)
            passes, within = divmod(self.step, self.per_epoch)
            name = f"step {self.step}" if within else f"epoch {passes}"
            tqdm.write(f"{name}: Acc@0.5 {self._reached:.1f}")

    def _note_signal(self) -> None:
        self.signalled = True
        self.accelerator.set_trigger()

    def train_step(self, batch: Batch) -> dict[str, float]:
        """Forward and backward of a batch, and an optimiser step; returns the loss terms."""
        self.step += 1
        # For dropout, which a resumed run repeats and no two processes share.
        torch.manual_seed(self.config.seed + self.step * self.world + self.rank)
        if self.config.lr_drop:
            rate = falling(self.step, self.config.lr_drop * self.per_epoch)
        else:
            rate = warm_cosine(self.step, self.total_steps, self.config.warmup_steps)
        rate *= rewarm(self.step, self.moments_since)
        set_rate(self.optimizer, rate)
        self.model.train()
        with self.accelerator.accumulate(self.network):
            terms = self.loss(batch)
            self.accelerator.backward(terms["total"])
            if self.accelerator.sync_gradients and self.config.clip:
                self.accelerator.clip_grad_norm_(list(self.params.values()), self.config.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if self.accelerator.sync_gradients:
            self._update_average()
        return {name: float(value.detach()) for name, value in terms.items()}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The forward pass: loss terms of a batch."""
        text, mask = self.texts(batch.texts)
        photos = batch.images if self.cached_vision is None else self.cached_vision(batch.photos)
        inputs = send_to_device((photos, batch.photo_of, text, mask), self.device)
        answers = self.network(*inputs, self.fast_math)
        before = None if self.before is None else self.before(inputs[0])
        return objective(answers, batch, self.model.fusion.centers, self.config.loss, before)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        now = [t.detach() for t in self.model.adapter_state().values()]
        torch._foreach_lerp_(list(self.average.values()), now, 1 - decay)
