"""What a job printed: a log stream in CloudWatch, read page by page and from where it was read last."""

from __future__ import annotations

from typing import Any

from .faults import translated


class JobLog:
    """Remembers one stream, the one read last, so that following a job costs what is new and no more."""

    def __init__(self, client: Any, group: str) -> None:
        self._client, self._group = client, group
        self._last: tuple[str, str, str | None] = "", "", None

    def close(self) -> None:
        """Closes idle connections."""
        self._client.close()

    def read(self, stream: str) -> str:
        """Everything in `stream` so far; nothing while there is no such stream."""
        name, text, token = self._last
        if name != stream:
            text, token = "", None
        lines: list[str] = []
        while True:
            page = self._page(stream, token)
            if page is None:
                return ""
            lines += (f"{event['message']}\n" for event in page["events"])
            # The end of the stream answers with the token it was asked with; a page may be empty before that.
            if page["nextForwardToken"] == token:
                break
            token = page["nextForwardToken"]
        text += "".join(lines)
        self._last = stream, text, token
        return text

    def _page(self, stream: str, token: str | None) -> Any:
        asked = {"logGroupName": self._group, "logStreamName": stream, "startFromHead": True}
        if token:
            asked["nextToken"] = token
        with translated("logs", f"the log group {self._group}"):
            try:
                return self._client.get_log_events(**asked)
            except self._client.exceptions.ResourceNotFoundException:
                return None
