"""Keeps one comment for each plan on a pull request; a push updates the comment."""

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from workflow import folder, given, read_event, run_step, say

MARK = "<!-- krea-pipe plan "
PAGE = 100
MAX_PAGES = 50


def main() -> int:
    """Write the comments. A token without permission, or no answer from GitHub, is not a failure of the pipelines."""
    number = (read_event().get("pull_request") or {}).get("number")
    plans = json.loads((folder() / "plans" / "index.json").read_text(encoding="utf-8"))
    if number is None or not plans:
        return 0
    headers = {"Authorization": f"Bearer {given('GITHUB_TOKEN')}", "Accept": "application/vnd.github+json"}
    base = f"{given('GITHUB_API_URL')}/repos/{given('GITHUB_REPOSITORY')}"
    try:
        with httpx.Client(headers=headers, timeout=30) as client:
            Comments(client, base, int(number)).write(plans)
    except httpx.HTTPStatusError as error:
        _tell(error.response.status_code)
    except (httpx.HTTPError, ValueError) as error:
        say("warning", f"the plan could not be added to the pull request; it is in the summary of this job: {error}")
    return 0


class Comments:
    """The comments of one pull request."""

    def __init__(self, client: httpx.Client, base: str, number: int) -> None:
        self.client, self.base, self.number = client, base, number

    def write(self, plans: list[dict[str, Any]]) -> None:
        """Write each plan. A plan without changes only updates an existing comment.

        Raises:
            httpx.HTTPError: GitHub refused, or could not be reached.
        """
        own = [one for one in self._all() if self._is_own(one)]
        for plan in plans:
            body = Path(plan["markdown"]).read_text(encoding="utf-8")
            mark = body.partition("\n")[0]  # the same for the same pipeline, and invisible on the page
            found = next((one for one in own if one["body"].startswith(mark)), None)
            if found is not None and found["body"].replace("\r\n", "\n").rstrip() != body.rstrip():
                self._send("PATCH", f"{self.base}/issues/comments/{found['id']}", body)
            elif found is None and plan["changes"]:
                self._send("POST", f"{self.base}/issues/{self.number}/comments", body)

    def _all(self) -> Iterator[dict[str, Any]]:
        for page in range(1, MAX_PAGES + 1):
            query = {"per_page": PAGE, "page": page}
            answer = self.client.get(f"{self.base}/issues/{self.number}/comments", params=query)
            answer.raise_for_status()
            found = answer.json()
            yield from found
            if "next" not in answer.links:
                return

    def _is_own(self, comment: dict[str, Any]) -> bool:
        """Whether a comment is ours: it has the mark, and its author is a bot or the user of the token."""
        author = comment.get("user") or {}
        if not (comment.get("body") or "").startswith(MARK):
            return False
        return author.get("type") == "Bot" or author.get("login") == self._login

    @cached_property
    def _login(self) -> str | None:
        """The user of the token. The token of a job belongs to no user and cannot read this."""
        answer = self.client.get(f"{given('GITHUB_API_URL')}/user")
        return str(answer.json().get("login")) if answer.is_success else None

    def _send(self, method: str, url: str, body: str) -> None:
        self.client.request(method, url, json={"body": body}).raise_for_status()


def _tell(status: int) -> None:
    where = "the plan is in the summary of this job"
    if status in (403, 404):
        why = "this token cannot comment (a token for a fork never can; otherwise set `pull-requests: write`)"
        say("notice", f"{where}: {why}")
    else:
        say("warning", f"{where}: GitHub answered {status} to the comment")


if __name__ == "__main__":
    run_step(main)
