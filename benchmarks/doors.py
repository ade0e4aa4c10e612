"""How fast the doors open: processor seconds of an import and of the help, the best of five, beside bare Python.

    python -m benchmarks.doors

The promise: `import genai_stack` under 60 ms, `genai-stack --help` under 250 ms.
"""

from __future__ import annotations

import resource
import subprocess
import sys

DOORS = {
    "python -c pass": ["-c", "pass"],
    "import genai_stack": ["-c", "import genai_stack"],
    "from genai_stack import GenAIStack": ["-c", "from genai_stack import GenAIStack"],
    "genai-stack --help": ["-m", "genai_stack", "--help"],
}
TRIES = 5


def seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    for name, command in DOORS.items():
        print(f"{name:36} {1000 * min(seconds(command) for _ in range(TRIES)):6.0f} ms")


if __name__ == "__main__":
    main()
