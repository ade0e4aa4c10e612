"""`python -m genai_stack.training.world OUT.jsonl --count N` writes a corpus; the same options, the same bytes."""

from __future__ import annotations

import argparse
from pathlib import Path

from .corpus import TASKS, examples, of_one_task, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.world", description=__doc__)
    parser.add_argument("out", type=Path, help="the JSONL file to write")
    parser.add_argument("--count", type=int, required=True, help="how many examples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--texts", action="store_true", help="mix in plain reports")
    parser.add_argument("--copying", type=float, default=0.0, help="the share of drills in copying")
    parser.add_argument(
        "--joined", type=float, default=0.0, help="the share of conversations through several tasks"
    )
    parser.add_argument("--heldout", action="store_true", help="draw from the held-out names")
    parser.add_argument("--only", choices=TASKS, help="one task alone")
    args = parser.parse_args()
    if args.only:
        write(args.out, of_one_task(args.only, args.seed, args.count, heldout=args.heldout))
        return
    options = {name: getattr(args, name) for name in ("heldout", "texts", "copying", "joined")}
    write(args.out, examples(args.seed, args.count, **options))


if __name__ == "__main__":
    main()
