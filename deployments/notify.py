"""Tell a webhook of every run of ours that fails: `python -m deployments.notify URL` (Slack, Teams, ntfy, your own).

Makes, or makes anew, a webhook block that keeps the URL encrypted on Prefect's server, and an automation that calls it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

BLOCK = "dsir-failures"
AUTOMATION = "dsir: a run failed"
PAYLOAD = """
{%- set words = [flow_run.name, flow_run.state.name, flow_run.state.message or "", flow_run|ui_url] -%}
{"text": {{ words | join(" ") | tojson }}}"""


def notify(url: str) -> None:
    """Set it up on the Prefect server that is configured.

    Args:
        url: gets a POST with JSON, `{"text": ...}`, for each run tagged `dsir` that fails or crashes.
    """
    from prefect.automations import Automation
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    block = Webhook.model_validate({"method": "POST", "url": url}).save(BLOCK, overwrite=True)
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match_related=ResourceSpecification.model_validate(
            {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.dsir"}
        ),
        posture=Posture.Reactive,
        threshold=1,
    )
    automation = Automation(
        name=AUTOMATION,
        description="Calls the webhook of the block " + BLOCK,
        trigger=trigger,
        actions=[CallWebhook(block_document_id=block, payload=PAYLOAD)],
    )
    with get_client(sync_client=True) as client:
        for found in client.read_automations_by_name(AUTOMATION):
            client.delete_automation(found.id)
    automation.create()


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m deployments.notify", description=__doc__)
    parser.add_argument("url", help="where to POST to; it is not shown again")
    parsed = parser.parse_args(arguments)
    parts = urlsplit(parsed.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        parser.error("a webhook's URL begins with https:// or http://, and names a host")
    notify(parsed.url)
    print(f"failures of runs tagged dsir are told to {parts.hostname}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
