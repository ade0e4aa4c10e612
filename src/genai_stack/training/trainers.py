"""The trainers: transformers' for sequences, TRL's for preference pairs, both fed rows that are encoded already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from transformers import PrinterCallback, Trainer, TrainingArguments

from .batches import Collator, PairCollator
from .learned import only_learned
from .models import adapter_config, with_adapter
from .optimizers import MuonWithAdamW
from .spec import TrainingSpec
from .watched import Watched
from .watcher import Watcher


class SequenceTrainer(Watched, Trainer):
    def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        if self.args.torch_compile or not self.model_accepts_loss_kwargs:
            return super().compute_loss(model, inputs, *args, **options)
        with only_learned(self.model, inputs) as fewer:
            return super().compute_loss(model, fewer, *args, **options)


def trainer_arguments(spec: TrainingSpec, arguments: dict[str, Any]) -> Any:
    """TrainingArguments, or TRL's for preferences; the processes of the run know each other once this returns."""
    if spec.method == "dpo":
        from trl.trainer.dpo_config import DPOConfig

        h = spec.hyperparameters
        made: Any = DPOConfig(**arguments, beta=h.dpo_beta, max_length=None, disable_dropout=not h.lora_dropout)
    else:
        made = TrainingArguments(**arguments)
    assert made.device
    return made


def make_trainer(
    spec: TrainingSpec, opened: Callable[[], Any], tokenizer: Any, train: Sequence[Any], validation: Sequence[Any],
    arguments: Any, watcher: Watcher,
) -> Any:  # fmt: skip
    """A trainer of the model that `opened` opens."""
    make = _of_pairs if spec.method == "dpo" else _of_sequences
    trainer = make(spec, opened, tokenizer, train, validation, arguments, watcher)
    trainer.watcher = watcher
    trainer.remove_callback(PrinterCallback)
    return trainer


def _of_sequences(
    spec: TrainingSpec, opened: Callable[[], Any], tokenizer: Any, train: Sequence[Any], validation: Sequence[Any],
    arguments: Any, watcher: Watcher,
) -> Any:  # fmt: skip
    model = with_adapter(opened(), spec)
    flat = getattr(model.config, "_attn_implementation", "").startswith("flash")
    make: Any = SequenceTrainer
    return make(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation or None,
        processing_class=tokenizer,
        data_collator=Collator(tokenizer.pad_token_id, flat=flat),
        callbacks=[watcher],
        optimizers=(_optimizer(spec, model), None),
    )


def _of_pairs(
    spec: TrainingSpec, opened: Callable[[], Any], tokenizer: Any, train: Sequence[Any], validation: Sequence[Any],
    arguments: Any, watcher: Watcher,
) -> Any:  # fmt: skip
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DPOTrainer

    class PairTrainer(Watched, DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    def rows(pairs: Sequence[Any]) -> Any:
        return Dataset.from_list([PairCollator.row(pair) for pair in pairs])

    model = opened()
    whole = spec.hyperparameters.dpo_whole_model
    return PairTrainer(
        model=model,
        ref_model=opened() if whole else None,
        peft_config=adapter_config(spec),
        args=arguments,
        train_dataset=rows(train),
        eval_dataset=rows(validation) if validation else None,
        processing_class=tokenizer,
        data_collator=PairCollator(tokenizer.pad_token_id),
        callbacks=[watcher],
        optimizers=(_optimizer(spec, model) if whole else None, None),
    )


def _optimizer(spec: TrainingSpec, model: Any) -> Any:
    h = spec.hyperparameters
    if h.optimizer == "muon":
        return MuonWithAdamW(model, lr=spec.learning_rate, weight_decay=h.weight_decay)
    return None
