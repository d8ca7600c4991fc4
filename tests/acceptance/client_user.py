"""A program on top of the generated client (`client`): submits a campaign, watches it to its end, exports it.

Run as: python client_user.py ADDRESS KEY. It is type-checked as well.
"""

import json
import sys
import time

from client import AuthenticatedClient
from client.api.campaigns import get_campaign, list_campaigns
from client.api.messages import export_messages, list_messages
from client.api.submit import check_campaign, submit_campaign
from client.models import (
    CampaignPage,
    Check,
    ExportMessagesFormat,
    MessagePage,
    MessageState,
    OwnedCampaign,
    Problem,
    Recipients,
    RecipientsRecipientsItem,
    SubmittedCampaign,
)


def main(address: str, key: str) -> None:
    """Print what became of the campaign."""
    client = AuthenticatedClient(base_url=address, token=key)
    rows = []
    for number in range(3):
        row = RecipientsRecipientsItem()
        row["phone"] = f"+3706000000{number}"
        row["name"] = "Ona"
        rows.append(row)
    body = Recipients(account="main", text="Hello {name}", recipients=rows, name="Spring sale")

    checked = check_campaign.sync(client=client, body=body)
    assert isinstance(checked, Check), checked
    assert checked.message_count == 3
    taken = submit_campaign.sync_detailed(client=client, body=body, idempotency_key='"order-1"')
    assert isinstance(taken.parsed, SubmittedCampaign), taken
    again = submit_campaign.sync_detailed(client=client, body=body, idempotency_key='"order-1"')
    assert isinstance(again.parsed, SubmittedCampaign)
    assert (taken.status_code, again.status_code, again.parsed.id) == (201, 200, taken.parsed.id)

    campaign: OwnedCampaign | SubmittedCampaign = taken.parsed
    while campaign.finished_at is None:
        time.sleep(0.2)
        found = get_campaign.sync(client=client, id=campaign.id)
        assert isinstance(found, OwnedCampaign), found
        campaign = found

    listed = list_campaigns.sync(client=client, q="spring")
    assert isinstance(listed, CampaignPage), listed
    assert [each.id for each in listed.items] == [campaign.id]
    assert listed.next_cursor is None
    messages = list_messages.sync(client=client, id=campaign.id, state=MessageState.DELIVERED)
    assert isinstance(messages, MessagePage), messages
    lines = export_messages.sync_detailed(client=client, id=campaign.id, format_=ExportMessagesFormat.JSONL)
    refused = get_campaign.sync(client=AuthenticatedClient(base_url=address, token="none"), id=campaign.id)
    assert isinstance(refused, Problem), refused
    sys.stdout.write(
        json.dumps(
            {
                "state": campaign.state,
                "delivered": campaign.totals["delivered"],
                "phones": [each.phone for each in messages.items],
                "exported": [json.loads(line)["phone"] for line in lines.content.splitlines()],
                "refused": refused.type_,
            }
        )
    )


main(sys.argv[1], sys.argv[2])
